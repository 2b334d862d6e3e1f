/* SPDX-License-Identifier: Apache-2.0 */
#include "link_gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cloud/boot.h"
#include "link_route.h"
#include "net/digest.h"
#include "net/x25519.h"

extern char **environ;

enum {
    CALL_S = 20,        /* for one call of the program */
    SETTLE_S = 120,     /* for all of them: what is left comes next time */
    POLL_MS = 50,
    REAP_MS = 5,
    OUT_BYTES_MAX = 16 << 20,
    SAID_BYTES_MAX = 1024,
    KEY_CHARS = LINK_KEY_SIZE - 1,
    WORDS_MAX = 16,
};

/* ---- what belongs to a lease ---- */

static void to_text(const unsigned char bytes[static WEIR_SHA256_BYTES], char ret[static LINK_KEY_SIZE])
{
    struct weir_str s = WEIR_STR_INIT(LINK_KEY_SIZE);
    weir_base64(&s, (struct weir_sv){(const char *)bytes, WEIR_SHA256_BYTES});
    memcpy(ret, weir_str_cstr(&s), LINK_KEY_SIZE);
    explicit_bzero(s.p, s.n);
    weir_str_release(&s);
}

/* The preshared key of a peer of ours, by its public key as text. */
static void mark_of(struct weir_sv secret, const char *public_key, char ret[static LINK_KEY_SIZE])
{
    unsigned char bytes[WEIR_SHA256_BYTES];
    char text[128];
    int n = snprintf(text, sizeof text, "weir wireguard preshared key %.*s", KEY_CHARS, public_key);
    weir_hmac_sha256(secret, (struct weir_sv){text, (size_t)n}, bytes);
    to_text(bytes, ret);
    explicit_bzero(bytes, sizeof bytes);
}

/*
 * Of a network of IPv4 all but the first two and the last, the leases one after the other: those of two that live at a time differ, unless as many were
 * made between them as the network has addresses. Of IPv6 none meets another ever.
 */
static struct weir_net address_of(const struct weir_net *n, struct weir_lease_id lease)
{
    struct weir_net own = *n;
    own.prefix = n->is_v6 ? 128 : 32;
    uint64_t v = n->is_v6 ? lease.v + 256 : 2 + lease.v % ((UINT64_C(1) << (32 - n->prefix)) - 3);
    for (int i = n->is_v6 ? 15 : 3; v != 0 && i >= 0; i--) {
        own.address[i] |= (unsigned char)v;
        v >>= 8;
    }
    return own;
}

void link_address_of(const struct weir_net *n, struct weir_lease_id lease, char ret[static LINK_ADDRESS_SIZE])
{
    const struct weir_net own = address_of(n, lease);
    (void)weir_net_format(&own, ret);
}

void link_keys_of(const struct weir_config_link *conf, struct weir_sv secret, struct weir_lease_id lease, struct link_keys *ret)
{
    unsigned char own[WEIR_X25519_BYTES];
    unsigned char public[WEIR_X25519_BYTES];
    char text[64];
    *ret = (struct link_keys){{0}};
    int n = snprintf(text, sizeof text, "weir wireguard lease %" PRIu64, lease.v);
    weir_hmac_sha256(secret, (struct weir_sv){text, (size_t)n}, own);
    weir_x25519_clamp(own);
    weir_x25519_public(own, public);
    to_text(own, ret->private_key);
    to_text(public, ret->public_key);
    mark_of(secret, ret->public_key, ret->preshared_key);
    link_address_of(&conf->network, lease, ret->address);
    explicit_bzero(own, sizeof own);
}

/* ---- calling the program ---- */

/* One call under way. */
struct child {
    pid_t pid;
    int fd[2]; /* what it prints, and what it complains of */
    struct weir_str *out;
    struct weir_str said;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* A pipe of which a child that knows of neither end has none. */
static bool open_pipe(int ret[2])
{
    return pipe2(ret, O_CLOEXEC) == 0;
}

static int spawn(struct child *c, char **argv, int in, const int out[2], const int said[2])
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGKILL);
    (void)sigdelset(&all, SIGSTOP);
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return ENOMEM;
    }
    if (posix_spawnattr_init(&attr) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int r = in >= 0 ? posix_spawn_file_actions_adddup2(&actions, in, 0) : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    r = r != 0 ? r : posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    r = r != 0 ? r : posix_spawn_file_actions_adddup2(&actions, said[1], 2);
    r = r != 0 ? r : posix_spawnattr_setsigmask(&attr, &none);
    r = r != 0 ? r : posix_spawnattr_setsigdefault(&attr, &all);
    r = r != 0 ? r : posix_spawnattr_setpgroup(&attr, 0);
    r = r != 0 ? r : posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    r = r != 0 ? r : posix_spawnp(&c->pid, argv[0], &actions, &attr, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    return r;
}

/* input fits into a pipe. Returns 0 or what errno has. */
static int start(struct child *c, char **argv, const char *input)
{
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int said[2] = {-1, -1};
    bool ok = (input == NULL || open_pipe(in)) && open_pipe(out) && open_pipe(said);
    ok = ok && (input == NULL || write(in[1], input, strlen(input)) == (ssize_t)strlen(input));
    close_fd(&in[1]);
    int r = ok ? spawn(c, argv, in[0], out, said) : errno;
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&said[1]);
    if (r != 0) {
        close_fd(&out[0]);
        close_fd(&said[0]);
    }
    c->fd[0] = out[0];
    c->fd[1] = said[0];
    return r;
}

/* Takes what is there to be read, waiting for it at most ms. */
static void take(struct child *c, int ms)
{
    struct pollfd p[2] = {{.fd = c->fd[0], .events = POLLIN}, {.fd = c->fd[1], .events = POLLIN}}; /* one that is closed is passed over */
    if (poll(p, 2, p[0].fd < 0 && p[1].fd < 0 ? REAP_MS : ms) <= 0) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        char buf[4096];
        ssize_t n = p[i].revents == 0 ? 0 : read(c->fd[i], buf, sizeof buf);
        if (n > 0) {
            weir_str_add(i == 0 ? c->out : &c->said, buf, (size_t)n);
        } else if (p[i].revents != 0 && (n == 0 || errno != EINTR)) {
            close_fd(&c->fd[i]);
        }
    }
}

/* The exit status; -1 where it had to be killed. What it has left behind may hold its pipes: its own end counts. */
static int finish(struct gateway *g, struct child *c)
{
    int64_t until = weir_clock_mono(g->clock).us + CALL_S * WEIR_US_PER_S;
    int status = 0;
    pid_t r;
    while ((r = waitpid(c->pid, &status, WNOHANG)) == 0 || (r < 0 && errno == EINTR)) {
        if (atomic_load(g->stop) || weir_clock_mono(g->clock).us >= until) {
            (void)kill(-c->pid, SIGKILL);
            while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
            }
            status = -1;
            break;
        }
        take(c, POLL_MS);
    }
    status = r < 0 ? -1 : status;
    size_t before;
    do {
        before = c->out->n + c->said.n;
        take(c, 0);
    } while (c->out->n + c->said.n > before);
    close_fd(&c->fd[0]);
    close_fd(&c->fd[1]);
    return status == -1 || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

static int fail(struct gateway *g, const char *what, const char *why, const char *remedy)
{
    (void)snprintf(g->remedy, sizeof g->remedy, "%s", remedy);
    return weir_fail(&g->err, -WEIR_EUNAVAIL, "%s: %s", what, why);
}

static int fail_said(struct gateway *g, const char *what, const char *said)
{
    char line[256];
    char remedy[256];
    (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(said, "\r\n"), said);
    if (strstr(line, "No such device") != NULL || strstr(line, "not supported") != NULL) {
        (void)snprintf(remedy, sizeof remedy, "bring the interface up on the gateway: systemctl enable --now wg-quick@%s", g->conf->interface);
    } else if (strstr(line, "not permitted") != NULL || strstr(line, "ermission denied") != NULL) {
        (void)snprintf(remedy, sizeof remedy, "give the broker the capability CAP_NET_ADMIN (AmbientCapabilities= of its unit), or name another 'command'");
    } else {
        (void)snprintf(remedy, sizeof remedy, "see docs/guide/wireguard.md, 'What can go wrong'");
    }
    return fail(g, what, line[0] == '\0' ? "it failed and said nothing" : line, remedy);
}

/* The program with these words behind it. out may be NULL. */
static int call(struct gateway *g, const char *const *words, const char *input, struct weir_str *out)
{
    char *argv[WEIR_CONFIG_LINK_WORDS_MAX + WORDS_MAX + 1];
    size_t n = 0;
    struct weir_str what = WEIR_STR_INIT(SAID_BYTES_MAX);
    struct weir_str ignored = WEIR_STR_INIT(SAID_BYTES_MAX);
    for (size_t i = 0; i < g->conf->n_command; i++) {
        argv[n++] = weir_strdup(g->conf->command[i]);
    }
    for (size_t i = 0; i < WORDS_MAX && words[i] != NULL; i++) {
        argv[n++] = weir_strdup(words[i]);
    }
    argv[n] = NULL;
    for (size_t i = 0; i < n; i++) {
        weir_str_addf(&what, "%s%s", i > 0 ? " " : "", argv[i]);
    }
    struct child c = {.out = out != NULL ? out : &ignored, .said = WEIR_STR_INIT(SAID_BYTES_MAX)};
    int e = start(&c, argv, input);
    int status = e == 0 ? finish(g, &c) : 0;
    int r = 0;
    if (e != 0) {
        r = fail(g, argv[0], strerror(e), e == ENOENT ? "install it: apt-get install wireguard-tools" : "see that the broker may run it");
    } else if (status < 0) {
        r = fail(g, weir_str_cstr(&what), "it gave no answer in 20 s", "see that the gateway can be reached, and that nothing asks for a password");
    } else if (status > 0) {
        r = fail_said(g, weir_str_cstr(&what), weir_str_cstr(&c.said));
    } else if (c.out->overflowed && out != NULL) {
        r = fail(g, weir_str_cstr(&what), "it has printed too much", "see what the command of the section 'wireguard' does");
    }
    for (size_t i = 0; i < n; i++) {
        free(argv[i]);
    }
    weir_str_release(&what);
    weir_str_release(&ignored);
    weir_str_release(&c.said);
    return r;
}

/* ---- what the gateway has ---- */

struct row {
    char key[LINK_KEY_SIZE];
    bool is_ours;
    bool is_kept;       /* a lease has it */
    struct weir_sv ips; /* "10.77.0.9/32 10.78.0.0/16" */
};

struct rows {
    WEIR_VEC(struct row) row;
    struct weir_str keys; /* as printed */
    struct weir_str ips;
};

static bool is_key(struct weir_sv s)
{
    return s.n == KEY_CHARS && s.p[KEY_CHARS - 1] == '=';
}

static struct row *find_row(struct rows *all, struct weir_sv key)
{
    for (size_t i = 0; i < all->row.n; i++) {
        if (memcmp(all->row.p[i].key, key.p, KEY_CHARS) == 0) {
            return &all->row.p[i];
        }
    }
    return NULL;
}

static int show(struct gateway *g, const char *what, struct weir_str *ret)
{
    const char *const words[] = {"show", g->conf->interface, what, NULL};
    return call(g, words, NULL, ret);
}

static int read_rows(struct gateway *g, struct rows *all)
{
    int r = show(g, "preshared-keys", &all->keys);
    r = r != 0 ? r : show(g, "allowed-ips", &all->ips);
    if (r != 0) {
        return r;
    }
    for (struct weir_sv rest = weir_str_sv(&all->keys); rest.n > 0;) {
        struct weir_sv mark = weir_sv_cut(&rest, '\n');
        struct weir_sv key = weir_sv_cut(&mark, '\t');
        if (!is_key(key)) {
            return fail(g, "show preshared-keys", "the command does not answer as wg does", "see what the command of the section 'wireguard' does");
        }
        struct row row = {.key = ""};
        char own[LINK_KEY_SIZE];
        memcpy(row.key, key.p, KEY_CHARS);
        mark_of(g->secret, row.key, own);
        row.is_ours = weir_sv_eq(mark, weir_sv_of(own));
        weir_vec_push(&all->row, row);
    }
    for (struct weir_sv rest = weir_str_sv(&all->ips); rest.n > 0;) {
        struct weir_sv ips = weir_sv_cut(&rest, '\n');
        struct weir_sv key = weir_sv_cut(&ips, '\t');
        struct row *row = is_key(key) ? find_row(all, key) : NULL;
        if (row != NULL) { /* one that was added meanwhile is seen next time */
            row->ips = ips;
        }
    }
    return 0;
}

static bool has_address(struct weir_sv ips, const char *address)
{
    while (ips.n > 0) {
        if (weir_sv_eq(weir_sv_cut(&ips, ' '), weir_sv_of(address))) {
            return true;
        }
    }
    return false;
}

/* An address that somebody else's peer has stays theirs: given to ours, the gateway would take it away from theirs. */
static bool is_taken(const struct rows *all, const struct link_keys *k)
{
    for (size_t i = 0; i < all->row.n; i++) {
        const struct row *row = &all->row.p[i];
        if (!weir_streq(row->key, k->public_key) && (!row->is_ours || row->is_kept) && has_address(row->ips, k->address)) {
            return true;
        }
    }
    return false;
}

static int remove_peer(struct gateway *g, const char *key)
{
    const char *const words[] = {"set", g->conf->interface, "peer", key, "remove", NULL};
    int r = call(g, words, NULL, NULL);
    g->removed += r == 0 ? 1 : 0;
    return r;
}

static int add_peer(struct gateway *g, const struct link_keys *k)
{
    const char *const words[] = {"set", g->conf->interface, "peer", k->public_key, "preshared-key", "/dev/stdin", "allowed-ips", k->address, NULL};
    char input[LINK_KEY_SIZE + 1];
    (void)snprintf(input, sizeof input, "%s\n", k->preshared_key);
    int r = call(g, words, input, NULL);
    explicit_bzero(input, sizeof input);
    g->added += r == 0 ? 1 : 0;
    return r;
}

static int ask_public_key(struct gateway *g)
{
    if (g->conf->public_key[0] != '\0') {
        (void)snprintf(g->public_key, sizeof g->public_key, "%.*s", KEY_CHARS, g->conf->public_key);
        return 0;
    }
    struct weir_str s = WEIR_STR_INIT(SAID_BYTES_MAX);
    int r = show(g, "public-key", &s);
    struct weir_sv key = weir_sv_trim(weir_str_sv(&s));
    if (r == 0 && !is_key(key)) {
        r = fail(g, "show public-key", "the interface has no private key yet", "give it one, or say its public key: 'public_key' of the section 'wireguard'");
    } else if (r == 0) {
        memcpy(g->public_key, key.p, KEY_CHARS);
        g->public_key[KEY_CHARS] = '\0';
    }
    weir_str_release(&s);
    return r;
}

/* Those that are there already, as they should be. */
static void keep(struct gateway *g, struct rows *all, const struct link_keys *keys)
{
    for (size_t i = 0; i < g->peers.n; i++) {
        struct row *row = find_row(all, weir_sv_of(keys[i].public_key));
        if (row != NULL && row->is_ours) {
            row->is_kept = true;
            g->peers.p[i].is_there = weir_sv_eq(row->ips, weir_sv_of(keys[i].address));
        }
    }
}

/* Has one before it the same address? */
static bool is_second(const struct gateway *g, const struct link_keys *keys, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (!g->peers.p[k].is_taken && weir_streq(keys[k].address, keys[i].address)) {
            return true;
        }
    }
    return false;
}

static int change(struct gateway *g, struct rows *all, const struct link_keys *keys)
{
    int64_t until = weir_clock_mono(g->clock).us + SETTLE_S * WEIR_US_PER_S;
    int r = 0;
    keep(g, all, keys);
    for (size_t i = 0; r == 0 && i < all->row.n; i++) {
        if (all->row.p[i].is_ours && !all->row.p[i].is_kept) {
            r = remove_peer(g, all->row.p[i].key);
        }
    }
    for (size_t i = 0; r == 0 && i < g->peers.n; i++) {
        struct link_peer *p = &g->peers.p[i];
        p->is_taken = !p->is_there && (is_taken(all, &keys[i]) || is_second(g, keys, i));
        if (!p->is_there && !p->is_taken) {
            r = weir_clock_mono(g->clock).us >= until ? fail(g, "peers", "there are too many to set at a time", "none: the rest follows") : add_peer(g, &keys[i]);
            p->is_there = r == 0;
        }
    }
    return r;
}

/* Is the gateway this host's own? Of another, and of what stands behind a script, its routes are not known. */
static bool is_here(const struct weir_config_link *c)
{
    return weir_streq(c->command[0], "wg") || weir_streq(c->command[0], "/usr/bin/wg") || weir_streq(c->command[0], "sudo");
}

/* A machine whose answers leave by another interface would be paid for, and never heard. */
static int check_route(struct gateway *g)
{
    char name[LINK_ROUTE_NAME_SIZE];
    char text[128];
    char remedy[256];
    char net[WEIR_NET_SIZE];
    struct weir_net first = address_of(&g->conf->network, (struct weir_lease_id){1});
    struct weir_err why;
    if (!is_here(g->conf) || link_route_of(&first, name, &why) != 0 || weir_streq(name, g->conf->interface)) {
        return 0; /* where the kernel does not say it may be as it should */
    }
    (void)weir_net_format(&g->conf->network, net);
    if (name[0] == '\0') {
        (void)snprintf(text, sizeof text, "no way leads to %s", net);
    } else {
        (void)snprintf(text, sizeof text, "the way to %s leads by %s, not by %s", net, name, g->conf->interface);
    }
    (void)snprintf(remedy, sizeof remedy, "ip route add %s dev %s, or an Address of that network in %s.conf; where something else has the network, name another", net,
                   g->conf->interface, g->conf->interface);
    for (size_t i = 0; i < g->peers.n; i++) {
        g->peers.p[i].is_there = false;
    }
    return fail(g, "routes", text, remedy);
}

int gateway_settle(struct gateway *g)
{
    struct rows all = {.keys = WEIR_STR_INIT(OUT_BYTES_MAX), .ips = WEIR_STR_INIT(OUT_BYTES_MAX)};
    struct link_keys *keys = weir_calloc(g->peers.n + 1, sizeof *keys);
    for (size_t i = 0; i < g->peers.n; i++) {
        link_keys_of(g->conf, g->secret, g->peers.p[i].lease, &keys[i]);
    }
    int r = ask_public_key(g);
    r = r != 0 ? r : read_rows(g, &all);
    r = r != 0 ? r : change(g, &all, keys);
    r = r != 0 ? r : check_route(g);
    explicit_bzero(keys, (g->peers.n + 1) * sizeof *keys);
    free(keys);
    weir_vec_release(&all.row);
    weir_str_release(&all.keys);
    weir_str_release(&all.ips);
    return r;
}
