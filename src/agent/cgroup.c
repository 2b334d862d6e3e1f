/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/str.h"
#include "hardware.h"

static const char *const controller_name[4] = {"memory", "cpu", "devices", "pids"};

enum { PROCS_BYTES_MAX = 256 * 1024 };

/* ---- finding ---- */

/* The path of this process in the hierarchy of a controller ("" for version 2's line "0::/x"). */
static bool own_path(struct weir_sv text, const char *controller, char *ret, size_t size)
{
    struct weir_sv rest = text;
    while (rest.p != NULL) {
        struct weir_sv path = weir_sv_cut(&rest, '\n');
        (void)weir_sv_cut(&path, ':');
        struct weir_sv names = weir_sv_cut(&path, ':');
        bool match = controller[0] == '\0' && names.n == 0 && path.p != NULL;
        while (names.p != NULL && !match) {
            struct weir_sv name = weir_sv_cut(&names, ',');
            match = name.n > 0 && weir_sv_eq(name, weir_sv_of(controller));
        }
        if (match && path.n < size) {
            bool top = path.n == 1; /* "/" */
            (void)snprintf(ret, size, "%.*s", top ? 0 : (int)path.n, path.p);
            return true;
        }
    }
    return false;
}

static bool is_writable_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK) == 0;
}

static bool make_dir(const char *path)
{
    return mkdir(path, 0755) == 0 || errno == EEXIST;
}

/* systemd marks the groups that it gave away (Delegate=yes): all in them is ours to arrange. */
static bool is_delegated(const char *dir)
{
    char mark = 0;
    return getxattr(dir, "user.delegate", &mark, 1) == 1 && mark == '1';
}

/* The broker beside us, say: one process left in the group and no child of it can have controllers. */
static void move_all(const char *from, const char *to_procs)
{
    char path[WEIR_CGROUP_PATH_SIZE + 16], text[8192], number[32];
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", from);
    long n = weir_slurp(path, text, sizeof text);
    struct weir_sv rest = {text, n > 0 ? (size_t)n : 0};
    while (n > 0 && rest.p != NULL) {
        uint64_t pid = 0;
        if (weir_parse_u64(weir_sv_cut(&rest, '\n'), 1, INT32_MAX, &pid, NULL) == 0) {
            (void)snprintf(number, sizeof number, "%llu", (unsigned long long)pid);
            (void)weir_poke(to_procs, number);
        }
    }
}

static bool find_v2(struct weir_cgroups *c, const char *root, struct weir_sv self)
{
    char path[256], at[WEIR_CGROUP_PATH_SIZE], file[WEIR_CGROUP_PATH_SIZE + 64], text[1024], number[32];
    if (!own_path(self, "", path, sizeof path)) {
        return false;
    }
    (void)snprintf(at, sizeof at, "%s%s", root, path);
    /* A leaf of an earlier agent: its parent is the group that was delegated. */
    size_t n = strlen(at);
    if (n > 11 && weir_streq(at + n - 11, "/weir-agent")) {
        at[n - 11] = '\0';
    }
    (void)snprintf(file, sizeof file, "%s/cgroup.controllers", at);
    long got = weir_slurp(file, text, sizeof text);
    if (got < 0 || !is_writable_dir(at)) {
        return false;
    }
    unsigned have = 0;
    struct weir_sv rest = weir_sv_trim((struct weir_sv){text, (size_t)got});
    while (rest.p != NULL) {
        struct weir_sv name = weir_sv_cut(&rest, ' ');
        for (unsigned i = 0; i < 4; i++) {
            have |= weir_sv_eq(name, weir_sv_of(controller_name[i])) ? 1U << i : 0;
        }
    }
    if ((have & (WEIR_CGROUP_MEMORY | WEIR_CGROUP_CPU)) == 0) {
        return false;
    }
    (void)snprintf(file, sizeof file, "%s/weir-agent", at);
    if (!make_dir(file)) {
        return false;
    }
    (void)snprintf(file, sizeof file, "%s/weir-agent/cgroup.procs", at);
    (void)snprintf(number, sizeof number, "%d", (int)getpid());
    if (weir_poke(file, number) < 0) {
        return false;
    }
    if (is_delegated(at)) {
        move_all(at, file);
    }
    for (unsigned i = 0; i < 4; i++) {
        char plus[32];
        if ((have & 1U << i) == 0) {
            continue;
        }
        (void)snprintf(file, sizeof file, "%s/cgroup.subtree_control", at);
        (void)snprintf(plus, sizeof plus, "+%s", controller_name[i]);
        if (weir_poke(file, plus) == 0) {
            c->controllers |= 1U << i;
        }
    }
    if (c->controllers == 0) {
        return false;
    }
    (void)snprintf(file, sizeof file, "%s/weir-agent", at);
    c->controllers |= weir_device_filter_works(file) ? WEIR_CGROUP_DEVICES : 0;
    c->kind = WEIR_CGROUP_V2;
    memcpy(c->base[0], at, sizeof at);
    return true;
}

static void find_v1(struct weir_cgroups *c, const char *root, struct weir_sv self)
{
    for (unsigned i = 0; i < 4; i++) {
        char path[256], at[WEIR_CGROUP_PATH_SIZE];
        if (!own_path(self, controller_name[i], path, sizeof path)) {
            continue;
        }
        (void)snprintf(at, sizeof at, "%s/%s%s", root, controller_name[i], path);
        /* Inside a container the path may be of the host's view; the mount's top is then ours. */
        if (!is_writable_dir(at)) {
            (void)snprintf(at, sizeof at, "%s/%s", root, controller_name[i]);
        }
        size_t n = strlen(at);
        if (!(n > 5 && weir_streq(at + n - 5, "/weir"))) {
            if (!is_writable_dir(at) || n + 6 > sizeof at) {
                continue;
            }
            memcpy(at + n, "/weir", 6);
        }
        if (make_dir(at) && access(at, W_OK) == 0) {
            memcpy(c->base[i], at, sizeof at);
            c->controllers |= 1U << i;
        }
    }
    c->kind = c->controllers != 0 ? WEIR_CGROUP_V1 : WEIR_CGROUP_NONE;
}

void weir_cgroups_find(struct weir_cgroups *c, const char *root, const char *self_text)
{
    *c = (struct weir_cgroups){.kind = WEIR_CGROUP_NONE};
    if (root[0] == '\0') {
        return;
    }
    struct weir_sv self = weir_sv_of(self_text);
    if (!find_v2(c, root, self)) {
        c->controllers = 0;
        find_v1(c, root, self);
    }
}

const char *weir_cgroups_describe(const struct weir_cgroups *c, char *buf, size_t size)
{
    static const char *const kind[] = {"none", "v1", "v2"};
    int n = snprintf(buf, size, "%s", kind[c->kind]);
    const char *sep = " (";
    for (unsigned i = 0; i < 4; i++) {
        if ((c->controllers & 1U << i) != 0 && n > 0 && (size_t)n < size) {
            n += snprintf(buf + n, size - (size_t)n, "%s%s", sep, controller_name[i]);
            sep = ", ";
        }
    }
    if (c->controllers != 0 && n > 0 && (size_t)n < size) {
        (void)snprintf(buf + n, size - (size_t)n, ")");
    }
    return buf;
}

/* ---- one task ---- */

static unsigned wanted(const struct weir_cgroups *c, const struct weir_cgroup_limits *l)
{
    unsigned want = (l->mem_mib != 0 ? WEIR_CGROUP_MEMORY : 0) | (l->cpu_milli != 0 ? WEIR_CGROUP_CPU : 0) |
                    (l->n_deny_devices != 0 ? WEIR_CGROUP_DEVICES : 0) | (l->pids_max != 0 ? WEIR_CGROUP_PIDS : 0);
    return want & c->controllers;
}

__attribute__((format(printf, 3, 4))) static bool set(const char *dir, const char *file, const char *fmt, ...)
{
    char path[WEIR_CGROUP_PATH_SIZE + 64], text[128];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    return weir_poke(path, text) == 0;
}

/* cgroup v2 weights go from 1 to 10000 with 100 for one ordinary share: take one core as 100. */
static unsigned v2_weight(uint32_t cpu_milli)
{
    unsigned w = cpu_milli / 10;
    return w < 1 ? 1 : w > 10000 ? 10000 : w;
}

static void limit_v2(struct weir_cgroup *g, const struct weir_cgroup_limits *l)
{
    const char *dir = g->path[0];
    if ((g->controllers & WEIR_CGROUP_MEMORY) != 0) {
        unsigned long long bytes = (unsigned long long)l->mem_mib << 20;
        if (!set(dir, "memory.max", "%llu", bytes)) {
            g->controllers &= ~(unsigned)WEIR_CGROUP_MEMORY;
        }
        (void)set(dir, "memory.swap.max", "0");
        (void)set(dir, "memory.oom.group", "0");
    }
    if ((g->controllers & WEIR_CGROUP_CPU) != 0) {
        (void)set(dir, "cpu.weight", "%u", v2_weight(l->cpu_milli));
    }
    if ((g->controllers & WEIR_CGROUP_PIDS) != 0) {
        (void)set(dir, "pids.max", "%u", l->pids_max);
    }
    if ((g->controllers & WEIR_CGROUP_DEVICES) != 0 && !weir_device_filter_attach(dir, l->deny_device, l->n_deny_devices)) {
        g->controllers &= ~(unsigned)WEIR_CGROUP_DEVICES;
    }
}

static void limit_v1(struct weir_cgroup *g, unsigned i, const struct weir_cgroup_limits *l)
{
    const char *dir = g->path[i];
    switch (1U << i) {
    case WEIR_CGROUP_MEMORY: {
        unsigned long long bytes = (unsigned long long)l->mem_mib << 20;
        if (!set(dir, "memory.limit_in_bytes", "%llu", bytes)) {
            g->controllers &= ~(unsigned)WEIR_CGROUP_MEMORY;
        }
        (void)set(dir, "memory.memsw.limit_in_bytes", "%llu", bytes);
        break;
    }
    case WEIR_CGROUP_CPU: {
        uint64_t shares = (uint64_t)l->cpu_milli * 1024 / 1000;
        (void)set(dir, "cpu.shares", "%llu", (unsigned long long)(shares < 2 ? 2 : shares > 262144 ? 262144 : shares));
        break;
    }
    case WEIR_CGROUP_DEVICES:
        for (unsigned k = 0; k < l->n_deny_devices; k++) {
            if (!set(dir, "devices.deny", "c %u:%u rwm", l->deny_device[k].major, l->deny_device[k].minor)) {
                g->controllers &= ~(unsigned)WEIR_CGROUP_DEVICES;
            }
        }
        break;
    default:
        (void)set(dir, "pids.max", "%u", l->pids_max);
        break;
    }
}

void weir_cgroup_of(const struct weir_cgroups *c, const char *name, struct weir_cgroup *ret)
{
    *ret = (struct weir_cgroup){.kind = c->kind};
    for (unsigned i = 0; i < 4 && c->kind != WEIR_CGROUP_NONE; i++) {
        bool one = c->kind == WEIR_CGROUP_V2;
        if ((one && i > 0) || (!one && (c->controllers & 1U << i) == 0)) {
            continue;
        }
        int n = snprintf(ret->path[i], sizeof ret->path[i], "%s/%s", c->base[i], name);
        if (n < 0 || (size_t)n >= sizeof ret->path[i]) {
            ret->path[i][0] = '\0';
            continue;
        }
        struct stat st;
        if (stat(ret->path[i], &st) == 0) {
            ret->controllers |= one ? c->controllers : 1U << i;
        }
    }
}

void weir_cgroup_make(const struct weir_cgroups *c,
                      const char *name,
                      const struct weir_cgroup_limits *limits,
                      struct weir_cgroup *ret)
{
    unsigned want = wanted(c, limits);
    *ret = (struct weir_cgroup){.kind = want == 0 ? WEIR_CGROUP_NONE : c->kind};
    if (want == 0) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        bool one = c->kind == WEIR_CGROUP_V2;
        if ((one && i > 0) || (!one && (want & 1U << i) == 0)) {
            continue;
        }
        int n = snprintf(ret->path[i], sizeof ret->path[i], "%s/%s", c->base[i], name);
        if (n < 0 || (size_t)n >= sizeof ret->path[i] || !make_dir(ret->path[i])) {
            ret->path[i][0] = '\0';
            continue;
        }
        ret->controllers |= one ? want : 1U << i;
        if (one) {
            limit_v2(ret, limits);
        } else {
            limit_v1(ret, i, limits);
        }
    }
    ret->kind = ret->controllers == 0 ? WEIR_CGROUP_NONE : c->kind;
    uint64_t before = 0;
    ret->oom_before = weir_cgroup_oom_kills(ret, &before) ? before : 0;
}

/* Joins dir and file without stdio: this runs between vfork and exec. */
static int open_procs(const char *dir)
{
    char path[WEIR_CGROUP_PATH_SIZE + 16];
    size_t n = strlen(dir);
    memcpy(path, dir, n);
    memcpy(path + n, "/cgroup.procs", 14);
    return open(path, O_WRONLY | O_CLOEXEC);
}

bool weir_cgroup_enter(const struct weir_cgroup *g)
{
    bool ok = true;
    for (unsigned i = 0; i < 4; i++) {
        if (g->path[i][0] == '\0' || g->controllers == 0) {
            continue;
        }
        int fd = open_procs(g->path[i]);
        ok = fd >= 0 && write(fd, "0", 1) == 1 && ok;
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    return ok;
}

static bool read_key(const char *path, const char *key, uint64_t *ret)
{
    char text[2048];
    long n = weir_slurp(path, text, sizeof text);
    struct weir_sv rest = {text, n > 0 ? (size_t)n : 0};
    while (n > 0 && rest.p != NULL) {
        struct weir_sv value = weir_sv_cut(&rest, '\n');
        struct weir_sv name = weir_sv_cut(&value, ' ');
        if (weir_sv_eq(name, weir_sv_of(key))) {
            return weir_parse_u64(weir_sv_trim(value), 0, UINT64_MAX, ret, NULL) == 0;
        }
    }
    return false;
}

bool weir_cgroup_oom_kills(const struct weir_cgroup *g, uint64_t *ret)
{
    char path[WEIR_CGROUP_PATH_SIZE + 64];
    if ((g->controllers & WEIR_CGROUP_MEMORY) == 0 || g->path[0][0] == '\0') {
        return false;
    }
    const char *file = g->kind == WEIR_CGROUP_V2 ? "memory.events" : "memory.oom_control";
    (void)snprintf(path, sizeof path, "%s/%s", g->path[0], file);
    return read_key(path, "oom_kill", ret);
}

bool weir_cgroup_kill(const struct weir_cgroup *g)
{
    if (g->kind == WEIR_CGROUP_V2 && set(g->path[0], "cgroup.kill", "1")) {
        return true;
    }
    for (unsigned i = 0; i < 4 && g->controllers != 0; i++) {
        char path[WEIR_CGROUP_PATH_SIZE + 16];
        if (g->path[i][0] == '\0') {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/cgroup.procs", g->path[i]);
        WEIR_CLEANUP(weir_freep) char *text = weir_alloc(PROCS_BYTES_MAX);
        long n = weir_slurp(path, text, PROCS_BYTES_MAX);
        if (n < 0) {
            continue;
        }
        struct weir_sv rest = {text, (size_t)n};
        while (rest.p != NULL) {
            uint64_t pid = 0;
            if (weir_parse_u64(weir_sv_cut(&rest, '\n'), 2, INT32_MAX, &pid, NULL) == 0) {
                (void)kill((pid_t)pid, SIGKILL);
            }
        }
        return true;
    }
    return false;
}

void weir_cgroup_remove(const struct weir_cgroup *g)
{
    for (unsigned i = 0; i < 4; i++) {
        if (g->path[i][0] != '\0') {
            (void)rmdir(g->path[i]);
        }
    }
}

void weir_cgroups_each(const struct weir_cgroups *c, void (*fn)(void *ctx, const char *name), void *ctx)
{
    for (unsigned i = 0; i < 4; i++) {
        DIR *d = c->base[i][0] == '\0' ? NULL : opendir(c->base[i]);
        const struct dirent *e;
        while (d != NULL && (e = readdir(d)) != NULL) {
            if (e->d_name[0] != '.' && e->d_type == DT_DIR) {
                fn(ctx, e->d_name);
            }
        }
        if (d != NULL) {
            (void)closedir(d);
        }
    }
}

/* ---- our own limits ---- */

static bool own_file(const char *controller, const char *v1_file, const char *v2_file, char *text, size_t size)
{
    char self[4096], path[256], file[700];
    long n = weir_slurp("/proc/self/cgroup", self, sizeof self);
    if (n < 0) {
        return false;
    }
    struct weir_sv s = {self, (size_t)n};
    if (own_path(s, controller, path, sizeof path)) {
        (void)snprintf(file, sizeof file, "/sys/fs/cgroup/%s%s/%s", controller, path, v1_file);
        if (weir_slurp(file, text, size) > 0) {
            return true;
        }
        (void)snprintf(file, sizeof file, "/sys/fs/cgroup/%s/%s", controller, v1_file);
        return weir_slurp(file, text, size) > 0;
    }
    if (own_path(s, "", path, sizeof path)) {
        (void)snprintf(file, sizeof file, "/sys/fs/cgroup%s/%s", path, v2_file);
        return weir_slurp(file, text, size) > 0;
    }
    return false;
}

uint32_t weir_cgroup_own_cpu_milli(void)
{
    char text[64], period_text[64];
    int64_t quota = 0, period = 100000;
    if (!own_file("cpu", "cpu.cfs_quota_us", "cpu.max", text, sizeof text)) {
        return 0;
    }
    struct weir_sv rest = weir_sv_trim(weir_sv_of(text));
    struct weir_sv first = weir_sv_cut(&rest, ' ');
    if (weir_parse_i64(first, -1, INT64_MAX, &quota, NULL) < 0) {
        return 0; /* "max" */
    }
    if (rest.p != NULL) {
        (void)weir_parse_i64(rest, 1, INT64_MAX, &period, NULL);
    } else if (own_file("cpu", "cpu.cfs_period_us", "cpu.max", period_text, sizeof period_text)) {
        (void)weir_parse_i64(weir_sv_trim(weir_sv_of(period_text)), 1, INT64_MAX, &period, NULL);
    }
    return weir_cpu_milli_from_quota(quota, period);
}

uint64_t weir_cgroup_own_mem_mib(void)
{
    char text[64];
    uint64_t bytes = 0;
    if (!own_file("memory", "memory.limit_in_bytes", "memory.max", text, sizeof text) ||
        weir_parse_u64(weir_sv_trim(weir_sv_of(text)), 0, UINT64_MAX, &bytes, NULL) < 0) {
        return 0;
    }
    /* version 1 writes "no limit" as a number near 2^63 */
    return bytes >= (UINT64_C(1) << 60) ? 0 : bytes >> 20;
}
