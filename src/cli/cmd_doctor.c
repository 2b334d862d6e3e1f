/* SPDX-License-Identifier: Apache-2.0 */

/* weir doctor: what is configured, what works, what to fix. Works without a broker too. */

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api_client.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "command.h"
#include "output.h"

enum {
    PORT_DEFAULT = 7070,
    DISK_LOW_MIB = 512,
    CLOCK_MIN_YEAR = 2024,
};

const struct weir_opt weir_opts_doctor[] = {
    {"data", 0, WEIR_OPT_TEXT, .arg = "DIR", .help = "the broker's data directory, where it is not the default"},
    {0},
};

enum verdict {
    VERDICT_OK,
    VERDICT_NOTE, /* fine, but something could be better */
    VERDICT_BAD,
};

static const char *const verdict_name[] = {[VERDICT_OK] = "ok", [VERDICT_NOTE] = "note", [VERDICT_BAD] = "bad"};

struct report {
    json_t *items;
    bool has_bad;
};

static void add(struct report *r, const char *name, enum verdict v, const char *text, const char *remedy)
{
    json_t *o = json_object();
    struct weir_str clean = WEIR_STR_INIT(4096);
    weir_out_clean(&clean, weir_sv_of(text), false);
    (void)json_object_set_new(o, "name", json_string(name));
    (void)json_object_set_new(o, "verdict", json_string(verdict_name[v]));
    (void)json_object_set_new(o, "text", json_string(weir_str_cstr(&clean)));
    (void)json_object_set_new(o, "remedy", remedy != NULL ? json_string(remedy) : json_null());
    (void)json_array_append_new(r->items, o);
    r->has_bad = r->has_bad || v == VERDICT_BAD;
    weir_str_release(&clean);
}

__attribute__((format(printf, 5, 6))) static void addf(struct report *r, const char *name, enum verdict v,
                                                       const char *remedy, const char *fmt, ...)
{
    char buf[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    add(r, name, v, buf, remedy);
}

/* ---- the broker ---- */

/* Is something listening on the default port? A refused connection means no. */
static bool port_answers(void)
{
    WEIR_CLEANUP(weir_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(PORT_DEFAULT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
}

/* Gives the broker's data directory where it tells, else NULL; caller frees. */
static char *check_broker(struct report *r, struct weir_client *api, const struct weir_err *open_err, bool *ret_answers)
{
    if (api == NULL) {
        add(r, "broker", VERDICT_BAD, open_err->text, "correct WEIR_URL, WEIR_TOKEN or WEIR_CA");
        return NULL;
    }
    struct weir_err err = {""};
    json_t *status = NULL;
    int rc = weir_client_call(api, "GET", "/v1/status", NULL, &status, &err);
    if (rc < 0) {
        add(r, "broker", VERDICT_BAD, err.text,
            rc == -WEIR_EUNAVAIL  ? "weir serve"
            : rc == -WEIR_EUNAUTH ? "set WEIR_TOKEN (and WEIR_CA for https)"
                                  : "check WEIR_URL");
        if (rc == -WEIR_EUNAVAIL && port_answers()) {
            addf(r, "port", VERDICT_NOTE, "weir serve --listen 127.0.0.1:PORT, and set WEIR_URL",
                 "something answers on 127.0.0.1:%d, the port that 'weir serve' wants", PORT_DEFAULT);
        }
        return NULL;
    }
    *ret_answers = true;
    const char *version = weir_get_text(status, "version");
    const json_t *gpus = json_object_get(status, "gpus");
    int64_t up = weir_get_i64(json_object_get(status, "nodes"), "up", 0);
    addf(r, "broker", VERDICT_OK, NULL, "version %s at %s: %" PRId64 " %s up, %" PRId64 " of %" PRId64 " GPUs free",
         version != NULL ? version : "?", weir_client_url(api), up, up == 1 ? "node" : "nodes",
         weir_get_i64(gpus, "free", 0), weir_get_i64(gpus, "total", 0));
    if (version != NULL && !weir_streq(version, WEIR_VERSION)) {
        addf(r, "version", VERDICT_NOTE, "install the same version on both sides", "this program is %s, the broker %s",
             WEIR_VERSION, version);
    }
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(status, "checks"), i, c)
    {
        const char *name = weir_get_text(c, "name");
        const char *text = weir_get_text(c, "text");
        add(r, name != NULL ? name : "check", weir_get_bool(c, "ok") ? VERDICT_OK : VERDICT_BAD,
            text != NULL ? text : "", weir_get_text(c, "remedy"));
    }
    const char *data = weir_get_text(status, "data");
    char *dir = data != NULL && data[0] == '/' ? weir_strdup(data) : NULL;
    json_decref(status);
    return dir;
}

/* ---- the providers ---- */

static void add_provider_check(struct report *r, const char *provider, const json_t *c)
{
    const char *name = weir_get_text(c, "name");
    const char *verdict = weir_get_text(c, "verdict");
    const char *text = weir_get_text(c, "text");
    struct weir_str full = WEIR_STR_INIT(256);
    weir_str_addf(&full, "%s %s", provider, name != NULL ? name : "check");
    add(r, weir_str_cstr(&full),
        weir_streq(verdict, "ok")                                           ? VERDICT_OK
        : weir_streq(verdict, "warning") || weir_streq(verdict, "unknown") ? VERDICT_NOTE
                                                                            : VERDICT_BAD,
        text != NULL ? text : "", weir_get_text(c, "remedy"));
    weir_str_release(&full);
}

/* The broker has its providers looked at, which takes a while where one does not answer. */
static void check_providers(struct report *r, struct weir_client *api)
{
    struct weir_err err = {""};
    json_t *found = NULL;
    int rc = weir_client_call(api, "POST", "/v1/providers/check", NULL, &found, &err);
    if (rc == -WEIR_EDENIED) {
        add(r, "provider checks", VERDICT_NOTE, "not looked at: that is for operators and administrators",
            "use a token of one of these roles");
    } else if (rc == -WEIR_ENOTFOUND) {
        add(r, "provider checks", VERDICT_NOTE, "not looked at: the broker is too old for that", "install this version there");
    } else if (rc < 0) {
        add(r, "provider checks", VERDICT_BAD, err.text, "ask again; the broker's log may say more");
    }
    size_t i;
    json_t *p;
    json_array_foreach(json_object_get(found, "providers"), i, p)
    {
        const char *provider = weir_get_text(p, "provider");
        size_t k;
        json_t *c;
        json_array_foreach(json_object_get(p, "checks"), k, c)
        {
            add_provider_check(r, provider != NULL ? provider : "?", c);
        }
    }
    json_decref(found);
}

/* ---- this host ---- */

static void check_data_dir(struct report *r, const char *dir)
{
    struct stat st;
    if (stat(dir, &st) < 0) {
        addf(r, "data", errno == ENOENT ? VERDICT_OK : VERDICT_BAD, errno == ENOENT ? NULL : "check its rights",
             errno == ENOENT ? "%s: not there yet; 'weir serve' makes it" : "%s: cannot be read", dir);
        return;
    }
    if (!S_ISDIR(st.st_mode) || access(dir, R_OK | W_OK | X_OK) < 0) {
        addf(r, "data", VERDICT_BAD, "give it to the user who runs 'weir serve'", "%s: cannot be written by this user",
             dir);
        return;
    }
    if ((st.st_mode & 077U) != 0) {
        addf(r, "data", VERDICT_BAD, "chmod 700 on it: it holds tokens and keys",
             "%s: others may look into it (mode %03o)", dir, (unsigned)st.st_mode & 0777U);
        return;
    }
    struct statvfs fs;
    if (statvfs(dir, &fs) == 0) {
        uint64_t free_mib = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;
        addf(r, "data", free_mib < DISK_LOW_MIB ? VERDICT_BAD : VERDICT_OK,
             free_mib < DISK_LOW_MIB ? "make room on that disk" : NULL, "%s: %" PRIu64 " MiB free", dir, free_mib);
    }
}

static void check_config(struct report *r, const char *dir)
{
    struct weir_str path = WEIR_STR_INIT(8192);
    weir_str_addf(&path, "%s/weir.yaml", dir);
    if (access(weir_str_cstr(&path), R_OK) == 0) {
        addf(r, "config", VERDICT_OK, NULL, "%s", weir_str_cstr(&path));
    } else if (errno == ENOENT) {
        addf(r, "config", VERDICT_OK, NULL, "no %s: built-in settings", weir_str_cstr(&path));
    } else {
        addf(r, "config", VERDICT_BAD, "give it to the user who runs 'weir serve'", "%s: cannot be read",
             weir_str_cstr(&path));
    }
    weir_str_release(&path);
}

/* The program in PATH, or NULL. Caller frees. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct weir_sv rest = weir_sv_of(path != NULL ? path : "/usr/bin:/bin");
    while (rest.n > 0) {
        struct weir_sv dir = weir_sv_cut(&rest, ':');
        struct weir_str full = WEIR_STR_INIT(8192);
        weir_str_addf(&full, "%.*s/%s", WEIR_SV_ARG(dir), name);
        if (dir.n > 0 && access(weir_str_cstr(&full), X_OK) == 0) {
            return weir_str_take(&full);
        }
        weir_str_release(&full);
    }
    return NULL;
}

/* A broker that answers may have declared some already. */
static void check_gpus(struct report *r, bool has_broker)
{
    char *text = NULL;
    size_t n = 0;
    if (weir_file_read("/proc/driver/nvidia/version", 4096, &text, &n, NULL) == 0) {
        struct weir_sv line = {text, n};
        line = weir_sv_cut(&line, '\n');
        addf(r, "gpu driver", VERDICT_OK, NULL, "%.*s", WEIR_SV_ARG(line));
        if (access("/dev/nvidiactl", R_OK | W_OK) < 0) {
            add(r, "gpu devices", VERDICT_BAD, "/dev/nvidiactl cannot be opened by this user",
                "add the user to the devices' group, or run nvidia-modprobe");
        }
    } else if (access("/sys/module/amdgpu", F_OK) == 0) {
        bool ok = access("/dev/kfd", R_OK | W_OK) == 0;
        add(r, "gpu driver", ok ? VERDICT_OK : VERDICT_BAD,
            ok ? "amdgpu" : "amdgpu, but /dev/kfd cannot be opened by this user",
            ok ? NULL : "add the user to the group render");
    } else {
        add(r, "gpu driver", VERDICT_NOTE, "no GPU driver on this host",
            has_broker ? NULL : "to try weir without: weir serve --declare-gpus A100:4");
    }
    free(text);
}

static void check_container(struct report *r)
{
    static const char *const names[] = {"podman", "docker", "apptainer", "singularity"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        WEIR_CLEANUP(weir_freep) char *path = find_program(names[i]);
        if (path != NULL) {
            add(r, "containers", VERDICT_OK, path, NULL);
            bool cdi = access("/etc/cdi", F_OK) == 0 || access("/var/run/cdi", F_OK) == 0;
            if (access("/proc/driver/nvidia/version", F_OK) == 0 && !cdi && i < 2) {
                add(r, "container gpus", VERDICT_NOTE, "no CDI description of the GPUs",
                    "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml");
            }
            return;
        }
    }
    add(r, "containers", VERDICT_NOTE, "no container runtime: jobs that name an image cannot run here",
        "install podman");
}

static void check_cgroup(struct report *r)
{
    if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) < 0) {
        if (access("/sys/fs/cgroup/memory", W_OK) == 0) {
            add(r, "cgroup", VERDICT_OK, "v1, may be divided", NULL);
            return;
        }
        add(r, "cgroup", VERDICT_NOTE, "no cgroup v2: memory and CPU limits of tasks are not enforced",
            "boot with systemd.unified_cgroup_hierarchy=1");
        return;
    }
    char *text = NULL;
    size_t n = 0;
    struct weir_str path = WEIR_STR_INIT(8192);
    weir_str_adds(&path, "/sys/fs/cgroup");
    if (weir_file_read("/proc/self/cgroup", 65536, &text, &n, NULL) == 0) {
        struct weir_sv rest = {text, n};
        while (rest.n > 0) {
            struct weir_sv line = weir_sv_cut(&rest, '\n');
            if (weir_sv_starts(line, WEIR_SV("0::"))) {
                weir_str_add(&path, line.p + 3, line.n - 3);
            }
        }
    }
    free(text);
    bool writable = access(weir_str_cstr(&path), W_OK) == 0;
    addf(r, "cgroup", writable ? VERDICT_OK : VERDICT_NOTE,
         writable ? NULL : "run the agent as a systemd unit with Delegate=yes to have limits enforced",
         writable ? "v2, %s may be divided" : "v2, but %s may not be divided by this user: limits are not enforced",
         weir_str_cstr(&path));
    weir_str_release(&path);
}

static void check_clock(struct report *r)
{
    struct weir_wall now = weir_clock_wall(&weir_clock_os);
    char buf[WEIR_RFC3339_SIZE];
    bool ok = weir_wall_to_date(now).year >= CLOCK_MIN_YEAR;
    addf(r, "clock", ok ? VERDICT_OK : VERDICT_BAD, ok ? NULL : "set the clock: timedatectl set-ntp true", "%s",
         weir_wall_format(now, buf));
}

static const char *field(const json_t *o, const char *key)
{
    const char *text = weir_get_text(o, key);
    return text != NULL ? text : "";
}

static void print_report(const struct report *r)
{
    struct weir_term term = weir_term_of(STDOUT_FILENO);
    size_t i;
    json_t *o;
    int width = 14;
    json_array_foreach(r->items, i, o)
    {
        int n = (int)strlen(field(o, "name"));
        width = n > width ? n : width;
    }
    json_array_foreach(r->items, i, o)
    {
        const char *verdict = field(o, "verdict");
        const char *remedy = field(o, "remedy");
        bool ok = weir_streq(verdict, verdict_name[VERDICT_OK]);
        enum weir_style style = ok                                               ? WEIR_STYLE_GOOD
                                : weir_streq(verdict, verdict_name[VERDICT_BAD]) ? WEIR_STYLE_BAD
                                                                                 : WEIR_STYLE_BUSY;
        (void)printf("%s%-4s%s  %-*s %s\n", weir_style_begin(&term, style), verdict, weir_style_end(&term, style), width,
                     field(o, "name"), field(o, "text"));
        if (remedy[0] != '\0' && !ok) {
            (void)printf("      %-*s -> %s\n", width, "", remedy);
        }
    }
}

int weir_cmd_doctor(const struct weir_args *args, struct weir_err *err)
{
    struct report r = {.items = json_array()};
    WEIR_CLEANUP(weir_client_freep) struct weir_client *api = NULL;
    struct weir_err open_err = {""};
    bool answers = false;
    (void)err;
    (void)weir_client_open(&api, args, &open_err);
    WEIR_CLEANUP(weir_freep) char *told = check_broker(&r, api, &open_err, &answers);
    if (answers) {
        check_providers(&r, api);
    }
    /* A broker elsewhere has its data elsewhere. */
    if (api == NULL || weir_client_is_local(api) || weir_args_has(args, "data")) {
        WEIR_CLEANUP(weir_freep) char *usual = weir_default_data_dir();
        const char *given = weir_args_text(args, "data");
        const char *dir = given != NULL ? given : told != NULL ? told : usual;
        check_data_dir(&r, dir);
        check_config(&r, dir);
    }
    check_gpus(&r, told != NULL);
    check_container(&r);
    check_cgroup(&r);
    check_clock(&r);
    if (weir_args_has(args, "json")) {
        json_t *o = json_pack("{s:b,s:O}", "ok", !r.has_bad, "checks", r.items);
        weir_print_json(o);
        json_decref(o);
    } else {
        print_report(&r);
    }
    json_decref(r.items);
    return r.has_bad ? 1 : 0;
}
