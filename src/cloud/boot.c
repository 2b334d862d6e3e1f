/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/boot.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

enum { SCRIPT_BYTES_MAX = 64 * 1024 };

/* ---- the pieces; each begins where the one before has left off, in the machine's directory ---- */

/* A machine that cannot keep the end of its lease is not to live: quit. WEIR_BOOT_ROOT: for trying the script out where its files may not go to the real places. */
static const char begin_text[] =
    "set -u\n"
    "umask 077\n"
    "ROOT=${WEIR_BOOT_ROOT:-}\n"
    "D=$ROOT/var/lib/weir\n"
    "PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    "say() { echo \"weir: $*\"; }\n"
    "quit() { say \"$*\"; poweroff || systemctl poweroff || shutdown -h now; exit 1; }\n"
    "mkdir -p \"$D/agent\" && cd \"$D\" || quit 'there is no room for its files'\n";

/* What ends the machine when nothing else was given. Where the system does not come down, the kernel is told. */
static const char power_off_text[] =
    "poweroff || systemctl poweroff || shutdown -h now\n"
    "sleep 120\n"
    "echo o > \"${WEIR_BOOT_ROOT:-}/proc/sysrq-trigger\"\n";

/* Prints how long it may sleep before it looks again. The agent's own file has microseconds. */
static const char watch_text[] =
    "cat > watch <<'WEIR_EOF'\n"
    "#!/bin/sh\n"
    "cd \"$(dirname \"$0\")\" || exit 1\n"
    "E=$(cat expires)\n"
    "U=$(cat expires-uptime)\n"
    "S=$(cat agent/lease-expires 2>/dev/null)\n"
    "case $S in\n"
    "'' | *[!0-9]*) ;;\n"
    "*) S=$((S / 1000000)); U=$((U + S - E)); E=$S ;;\n"
    "esac\n"
    "L=$((E - $(date +%s)))\n"
    "M=$((U - $(cut -d. -f1 /proc/uptime)))\n"
    "[ $M -lt $L ] && L=$M\n"
    "[ $L -le 0 ] && { echo 'weir: the lease is over'; exec sh ./end; }\n"
    "[ $L -gt 15 ] && L=15\n"
    "echo $L\n"
    "WEIR_EOF\n"
    "chmod 700 end watch\n"
    "[ -s end ] && [ -s watch ] || quit 'there is no room for what ends it'\n"
    "LEFT=$((EXPIRES - $(date +%s)))\n"
    "[ $LEFT -gt $SPAN ] && LEFT=$SPAN\n"
    "[ $LEFT -le 0 ] && { say 'the lease is over already'; exec sh ./end; }\n"
    "echo $EXPIRES > expires\n"
    "echo $(($(cut -d. -f1 /proc/uptime) + LEFT)) > expires-uptime\n"
    "[ -s expires ] && [ -s expires-uptime ] || quit 'there is no room for when it ends'\n"
    "ARMED=\n"
    "if [ -d \"$ROOT/run/systemd/system\" ]; then\n"
    "  U=$ROOT/etc/systemd/system\n"
    "  printf '[Unit]\\nDescription=weir: end of the lease\\n[Service]\\nType=oneshot\\nExecStart=/bin/sh %s/watch\\n' \"$D\" > $U/weir-expiry.service\n"
    "  printf '[Unit]\\nDescription=weir: end of the lease\\n[Timer]\\nOnActiveSec=15\\nOnUnitActiveSec=15\\nAccuracySec=1\\n[Install]\\nWantedBy=timers.target\\n' > $U/weir-expiry.timer\n"
    "  systemctl daemon-reload && systemctl enable --now weir-expiry.timer && ARMED=1\n"
    "fi\n"
    "if [ -z \"$ARMED\" ]; then\n"
    "  printf 'while L=$(sh ./watch); do sleep \"${L:-15}\"; done\\n' > watch-loop\n"
    "  setsid nohup sh ./watch-loop > /dev/null 2>&1 < /dev/null &\n"
    "fi\n";

/*
 * By the unit of systemd, which makes the tunnel anew when the machine is booted again, or at once. The end of the
 * lease is armed already: a machine that never has its tunnel ends with it.
 */
static const char link_text[] = "chmod 600 \"$W/weir.conf\"\n"
                                "until wg show weir > /dev/null 2>&1; do\n"
                                "  if ! command -v wg-quick > /dev/null 2>&1; then\n"
                                "    say 'installing wireguard-tools'\n"
                                "    if command -v apt-get > /dev/null 2>&1; then\n"
                                "      apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install -y "
                                "--no-install-recommends wireguard-tools iproute2\n"
                                "    else dnf -q -y install wireguard-tools iproute; fi\n"
                                "  elif [ -n \"$ARMED\" ]; then systemctl enable --now wg-quick@weir && break\n"
                                "  else wg-quick up \"$W/weir.conf\" && break; fi\n"
                                "  say 'there is no link to the site yet'\n"
                                "  sleep 5\n"
                                "done\n";

static const char download_text[] =
    "printf 'header = \"Authorization: Bearer %s\"\\n' \"$(cat token)\" > curlrc\n"
    "printf 'header = Authorization: Bearer %s\\n' \"$(cat token)\" > wgetrc\n"
    "if [ -s ca.pem ]; then\n"
    "  printf 'cacert = \"%s/ca.pem\"\\n' \"$D\" >> curlrc\n"
    "  printf 'ca_certificate = %s/ca.pem\\n' \"$D\" >> wgetrc\n"
    "fi\n"
    "get() {\n"
    "  if command -v curl > /dev/null 2>&1; then curl -fsS --connect-timeout 10 -m 300 -K curlrc -o \"$2\" \"$1\"\n"
    "  else WGETRC=$D/wgetrc wget -q -T 30 -O \"$2\" \"$1\"; fi\n"
    "}\n"
    "A=$D/weir\n"
    "until [ -x \"$A\" ]; do\n"
    "  if get \"$BROKER/v1/agent/program?arch=$(uname -m)\" weir.new; then\n"
    "    if [ \"$(sha256sum weir.new | cut -d' ' -f1)\" = \"$SUM\" ]; then chmod 755 weir.new && mv -f weir.new weir && break\n"
    "    else say 'the program that the broker sent is not the one that was promised'; fi\n"
    "  else say 'the program cannot be had from the broker yet'; fi\n"
    "  sleep 5\n"
    "done\n"
    "rm -f curlrc wgetrc\n"
    "if ! ./weir --version > /dev/null 2>&1; then\n"
    "  say 'installing the libraries of the agent'\n"
    "  if command -v apt-get > /dev/null 2>&1; then\n"
    "    export DEBIAN_FRONTEND=noninteractive\n"
    "    apt-get -qq update; apt-get -qq install -y --no-install-recommends libuv1 libjansson4 libyaml-0-2 libsqlite3-0 libcurl3-gnutls libgnutls30\n"
    "  else dnf -q -y install libuv jansson libyaml sqlite-libs libcurl gnutls; fi\n"
    "fi\n";

static const char run_text[] =
    "chmod 700 run\n"
    "if [ -n \"$ARMED\" ]; then\n"
    "  printf '[Unit]\\nDescription=weir agent\\nAfter=network-online.target\\n[Service]\\nExecStart=/bin/sh %s/run\\nRestart=on-failure\\nRestartSec=2\\nDelegate=yes\\nKillMode=process\\nTasksMax=infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \"$D\" > $U/weir-agent.service\n"
    "  systemctl daemon-reload && systemctl enable --now weir-agent.service && exit 0\n"
    "fi\n"
    "printf 'until sh ./run; do sleep 2; done\\n' > keep\n";

static const char background_text[] = "setsid nohup sh ./keep > agent.log 2>&1 < /dev/null &\n";
static const char foreground_text[] = "exec sh ./keep\n";

/* ---- putting them together ---- */

/* May the value stand in single quotes, or as a line of a here-document? */
static bool is_plain(const char *s)
{
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || (unsigned char)*s == 0x7f || *s == '\'') {
            return false;
        }
    }
    return true;
}

static int check_plain(const char *what, const char *value, struct weir_err *err)
{
    return value == NULL || is_plain(value) ? 0 : weir_fail(err, -WEIR_EINVAL, "the %s has characters that a boot script cannot hold", what);
}

/* Lines of a file, none of which is the mark that ends the here-document. */
static int add_file(struct weir_str *s, const char *name, const char *what, const char *text, struct weir_err *err)
{
    if (strstr(text, "WEIR_EOF") != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "the %s has a line that a boot script cannot hold", what);
    }
    size_t n = strlen(text);
    weir_str_addf(s, "cat > %s <<'WEIR_EOF'\n%s%sWEIR_EOF\n", name, text, n > 0 && text[n - 1] == '\n' ? "" : "\n");
    return 0;
}

/* The tunnel's configuration, which only root may read, and what makes it. */
static int add_link(const struct weir_launch_link *k, struct weir_str *s, struct weir_err *err)
{
    const char *const value[] = {k->private_key, k->preshared_key, k->address, k->peer, k->endpoint, k->routes, k->dns, k->domains};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(value); i++) {
        int r = check_plain("link's settings", value[i], err);
        if (r < 0) {
            return r;
        }
    }
    struct weir_str text = WEIR_STR_INIT(SCRIPT_BYTES_MAX);
    weir_str_addf(&text, "[Interface]\nPrivateKey = %s\nAddress = %s\n", k->private_key, k->address);
    if (k->mtu > 0) {
        weir_str_addf(&text, "MTU = %" PRIu32 "\n", k->mtu);
    }
    if (k->dns != NULL && k->dns[0] != '\0') { /* a host without systemd's resolver has its tunnel all the same */
        weir_str_addf(&text, "PostUp = resolvectl dns %%i %s && resolvectl domain %%i ", k->dns);
        weir_str_adds(&text, k->domains);
        weir_str_adds(&text, " || echo weir: names of the site cannot be resolved here\n");
    }
    weir_str_addf(&text, "[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = %s\n", k->peer,
                  k->preshared_key, k->endpoint, k->routes);
    if (k->keepalive_s > 0) {
        weir_str_addf(&text, "PersistentKeepalive = %" PRIu32 "\n", k->keepalive_s);
    }
    weir_str_adds(s, "W=$ROOT/etc/wireguard\nmkdir -p \"$W\"\n");
    int r = add_file(s, "\"$W/weir.conf\"", "link's settings", weir_str_cstr(&text), err);
    explicit_bzero(text.p, text.n);
    weir_str_release(&text);
    weir_str_adds(s, link_text);
    return r;
}

static int add_sums(const struct weir_boot *b, struct weir_str *s, struct weir_err *err)
{
    static const char *const arch[][2] = {{"x86_64", "x86_64 | amd64"}, {"aarch64", "aarch64 | arm64"}};
    bool any = false;
    weir_str_adds(s, "case $(uname -m) in\n");
    for (size_t i = 0; i < WEIR_ARRAY_LEN(arch); i++) {
        const char *sum = b->env->agent_sum == NULL ? NULL : b->env->agent_sum(b->env->agent_ctx, arch[i][0]);
        if (sum != NULL) {
            weir_str_addf(s, "%s) SUM=%s ;;\n", arch[i][1], sum);
            any = true;
        }
    }
    weir_str_adds(s, "*) SUM=none; say 'the broker has no program for this processor' ;;\nesac\n");
    return any ? 0 : weir_fail(err, -WEIR_EUNSUPPORTED, "the agent's program is not known: name an installed one ('agent' of the provider)");
}

static void add_run(const struct weir_boot *b, struct weir_str *s)
{
    const struct weir_launch *l = b->launch;
    char expires[WEIR_RFC3339_SIZE];
    const char *name = b->name == NULL ? "" : b->name;
    /* unquoted, so that the shell fills in what it knows; a name that is not a variable has nothing to fill in */
    weir_str_addf(s, "NAME=\"%s\"\n", name);
    weir_str_addf(s,
                  "cat > run <<WEIR_EOF\n#!/bin/sh\ncd '$D' || exit 1\n"
                  "exec '$A' agent --broker '$BROKER' --token-file '$D/token' --data '$D/agent' --lease %" PRIu64 " --lease-expires %s --pool '%s'",
                  l->lease.v, weir_wall_format(l->expires, expires), b->pool);
    weir_str_adds(s, " --power-off '$D/end'${NAME:+ --name '$NAME'}");
    if (l->ca_pem != NULL) {
        weir_str_adds(s, " --ca '$D/ca.pem'");
    }
    if (b->notice != NULL) {
        weir_str_addf(s, " --notice %s", b->notice);
    }
    if (b->gpus != NULL) {
        weir_str_addf(s, " --declare-gpus '%s'", b->gpus);
    }
    weir_str_adds(s, "\nWEIR_EOF\n");
    weir_str_adds(s, run_text);
}

static int write_script(const struct weir_boot *b, bool is_container, struct weir_str *s, struct weir_err *err)
{
    const struct weir_launch *l = b->launch;
    int r = check_plain("broker's URL", l->broker_url, err);
    r = r < 0 ? r : check_plain("join token", l->join_token, err);
    r = r < 0 ? r : check_plain("owner", l->owner, err);
    r = r < 0 ? r : check_plain("pool's name", b->pool, err);
    r = r < 0 ? r : check_plain("node's name", b->name, err);
    r = r < 0 ? r : check_plain("agent's path", b->agent, err);
    if (r < 0) {
        return r;
    }
    int64_t expires_s = l->expires.us / WEIR_US_PER_S;
    /* A machine whose clock is behind ends with its lease all the same. */
    int64_t span_s = l->issued.us == 0 ? INT32_MAX : weir_wall_sub(l->expires, l->issued).us / WEIR_US_PER_S;
    weir_str_addf(s, "#!/bin/sh\n# weir: lease %" PRIu64 " of %s\n", l->lease.v, l->owner);
    weir_str_adds(s, begin_text);
    weir_str_addf(s, "BROKER='%s'\nEXPIRES=%" PRId64 "\nSPAN=%" PRId64 "\n", l->broker_url, expires_s, span_s);
    struct weir_str end = WEIR_STR_INIT(SCRIPT_BYTES_MAX);
    weir_str_addf(&end, "#!/bin/sh\n%s", b->end == NULL ? power_off_text : b->end);
    r = add_file(s, "end", "command that ends the machine", weir_str_cstr(&end), err);
    weir_str_release(&end);
    weir_str_adds(s, watch_text);
    r = r < 0 ? r : add_file(s, "token", "join token", l->join_token, err);
    if (r == 0 && l->ca_pem != NULL) {
        r = add_file(s, "ca.pem", "broker's authority", l->ca_pem, err);
    }
    if (r == 0 && l->link != NULL) {
        r = is_container ? weir_fail(err, -WEIR_EUNSUPPORTED, "a container may not make the link to the site")
                         : add_link(l->link, s, err);
    }
    if (r == 0 && b->before != NULL) {
        r = add_file(s, "before", "provider's 'before'", b->before, err);
        weir_str_adds(s, "sh ./before || say \"the site's own commands failed with $?\"\n");
    }
    if (r == 0 && b->agent != NULL) {
        weir_str_addf(s, "A='%s'\n", b->agent);
    } else if (r == 0) {
        r = add_sums(b, s, err);
        weir_str_adds(s, download_text);
    }
    add_run(b, s);
    weir_str_adds(s, is_container ? foreground_text : background_text);
    return r;
}

static int check_size(const struct weir_str *s, size_t bytes_max, struct weir_err *err)
{
    if (s->overflowed || s->n > bytes_max) {
        return weir_fail(err, -WEIR_ELIMIT, "the boot script has %zu bytes, and the provider takes %zu: shorten 'before'", s->n, bytes_max);
    }
    return 0;
}

int weir_boot_script(const struct weir_boot *b, struct weir_str *ret, struct weir_err *err)
{
    weir_str_release(ret);
    *ret = WEIR_STR_INIT(SCRIPT_BYTES_MAX);
    int r = write_script(b, false, ret, err);
    return r < 0 ? r : check_size(ret, b->bytes_max, err);
}

int weir_boot_container(const struct weir_boot *b, struct weir_str *ret, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str script = WEIR_STR_INIT(SCRIPT_BYTES_MAX);
    weir_str_release(ret);
    *ret = WEIR_STR_INIT(2 * SCRIPT_BYTES_MAX);
    int r = b->end == NULL ? weir_fail(err, -WEIR_EINVAL, "a container needs a command that ends it") : write_script(b, true, &script, err);
    if (r < 0) {
        return r;
    }
    weir_base64(ret, weir_str_sv(&script));
    return script.overflowed ? check_size(&script, b->bytes_max, err) : check_size(ret, b->bytes_max, err);
}

void weir_boot_delete(struct weir_str *ret, const char *key_variable, const char *url)
{
    weir_str_addf(ret,
                  "A=\"Authorization: Bearer $%s\"\n"
                  "until curl -fsS -m 60 -X DELETE -H \"$A\" \"%s\" ||\n"
                  "  wget -q -T 60 -O /dev/null --method=DELETE --header \"$A\" \"%s\"\n"
                  "do sleep 10; done\n",
                  key_variable, url, url);
}

void weir_base64(struct weir_str *ret, struct weir_sv bytes)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        char out[4] = {digit[v >> 18], digit[v >> 12 & 63], left > 1 ? digit[v >> 6 & 63] : '=', left > 2 ? digit[v & 63] : '='};
        weir_str_add(ret, out, sizeof out);
    }
}
