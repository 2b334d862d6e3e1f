/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/parse.h"
#include "net/address.h"

/* ---- events and effects ---- */

static void on_wake(uv_timer_t *t)
{
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_TICK};
    agent_feed(t->data, &e);
}

static void set_wake(struct agent *a, struct weir_mono at)
{
    int64_t left = weir_i64_sub_sat(at.us, weir_clock_mono(a->clock).us);
    uint64_t ms = left <= 0 ? 0 : (uint64_t)(left + 999) / 1000;
    uv_update_time(&a->loop);
    (void)uv_timer_start(&a->wake, on_wake, ms, 0);
}

static void carry_out(struct agent *a, const struct weir_agent_effect *f)
{
    switch (f->type) {
    case WEIR_AGENT_DO_JOIN:
        agent_call_join(a);
        break;
    case WEIR_AGENT_DO_SYNC:
        agent_call_sync(a, f->ack, f->wait_ms);
        break;
    case WEIR_AGENT_DO_CANCEL_SYNC:
        agent_calls_cancel(a, true);
        break;
    case WEIR_AGENT_DO_REPORT:
        agent_call_report(a);
        break;
    case WEIR_AGENT_DO_LOG:
        agent_call_log(a, f);
        break;
    case WEIR_AGENT_DO_START:
        agent_run_start(a, f->command);
        break;
    case WEIR_AGENT_DO_STOP:
        agent_run_stop(a, f);
        break;
    case WEIR_AGENT_DO_DELETE:
        agent_run_delete(a, f->run);
        break;
    case WEIR_AGENT_DO_WAKE:
        set_wake(a, f->at);
        break;
    case WEIR_AGENT_DO_EXIT:
        a->exiting = true;
        a->power_off = f->power_off;
        a->exit_code = f->code;
        (void)snprintf(a->exit_text, sizeof a->exit_text, "%s", f->text);
        uv_stop(&a->loop);
        break;
    case WEIR_AGENT_DO_SAY:
        weir_log(WEIR_LOG_NOTICE, "agent", "node=\"%s\" text=\"%s\"", a->self.name, f->text);
        break;
    }
}

/* For whatever guards a rented machine from outside (the sandbox's hypervisor, a shutdown timer): the expiry as
 * the broker last extended it. Lost, the machine ends at the earlier time: early, never late. */
static void publish_expiry(struct agent *a)
{
    int64_t us = a->state.lease_expires.us;
    if (us == a->published_expires_us) {
        return;
    }
    char path[WEIR_PATH_SIZE];
    char temporary[WEIR_PATH_SIZE];
    char text[32];
    int n = snprintf(text, sizeof text, "%lld\n", (long long)us);
    (void)snprintf(path, sizeof path, "%s/lease-expires", a->dir);
    (void)snprintf(temporary, sizeof temporary, "%s/lease-expires.new", a->dir);
    int WEIR_CLEANUP(weir_closep) fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, text, (size_t)n) == n && rename(temporary, path) == 0) {
        a->published_expires_us = us;
    }
}

void agent_feed(struct agent *a, const struct weir_agent_event *e)
{
    struct queued_event q = {.e = *e};
    if (e->end != NULL) {
        q.end = *e->end;
    }
    if (e->energy != NULL) {
        q.energy = *e->energy;
    }
    weir_vec_push(&a->queue, q);
    if (a->draining) {
        return;
    }
    a->draining = true;
    for (a->queue_at = 0; a->queue_at < a->queue.n; a->queue_at++) {
        struct queued_event now = a->queue.p[a->queue_at];
        now.e.end = now.e.end == NULL ? NULL : &now.end;
        now.e.energy = now.e.energy == NULL ? NULL : &now.energy;
        now.e.now = weir_clock_mono(a->clock);
        now.e.wall = weir_clock_wall(a->clock);
        struct weir_agent_effects todo = weir_agent_step(&a->state, &now.e);
        for (size_t i = 0; i < todo.n; i++) {
            carry_out(a, &todo.p[i]);
        }
    }
    weir_vec_clear(&a->queue);
    a->draining = false;
    publish_expiry(a);
}

/* ---- what wakes the loop ---- */

static void on_quit(uv_signal_t *s, int signum)
{
    (void)signum;
    const struct weir_agent_event e = {.type = WEIR_AGENT_EV_QUIT};
    agent_feed(s->data, &e);
}

static void on_child(uv_signal_t *s, int signum)
{
    (void)signum;
    agent_runs_reap(s->data);
}

/* "log 12_3_1 4711" from a supervisor. The size is looked up: the word only says where to look. */
static void on_tell(uv_poll_t *p, int status, int events)
{
    struct agent *a = p->data;
    char text[256], dir[WEIR_PATH_SIZE], path[WEIR_PATH_SIZE];
    (void)events;
    for (int i = 0; status == 0 && i < 256; i++) {
        ssize_t n = recv(a->tell_fd, text, sizeof text, MSG_DONTWAIT);
        if (n <= 0) {
            return;
        }
        struct weir_sv rest = {text, (size_t)n};
        struct weir_agent_event e = {.type = WEIR_AGENT_EV_LOG_GREW};
        struct stat st;
        if (weir_sv_eq(weir_sv_cut(&rest, ' '), WEIR_SV("log")) && weir_run_name_parse(weir_sv_cut(&rest, ' '), &e.run) == 0 &&
            agent_run_dir(a, e.run, dir) && weir_path_join(path, dir, "log") && stat(path, &st) == 0) {
            e.size = (uint64_t)st.st_size;
            agent_feed(a, &e);
        }
    }
}

/* ---- setting up ---- */

static int make_dirs(struct agent *a, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE], real[WEIR_PATH_SIZE];
    if (a->conf->dir == NULL || strlen(a->conf->dir) >= sizeof a->dir) {
        return weir_fail(err, -WEIR_EINVAL, "the data directory is %s", a->conf->dir == NULL ? "not given" : "too long a name");
    }
    /* all missing parents too */
    (void)snprintf(path, sizeof path, "%s", a->conf->dir);
    for (char *p = path + 1; *p != '\0'; p++) {
        if (*p == '/') {
            *p = '\0';
            (void)mkdir(path, 0755);
            *p = '/';
        }
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return weir_fail(err, -WEIR_EIO, "cannot make directory '%.300s': %s", path, strerror(errno));
    }
    if (realpath(path, real) == NULL || strlen(real) >= sizeof a->dir) {
        return weir_fail(err, -WEIR_EIO, "directory '%.300s': %s", path, strerror(errno));
    }
    memcpy(a->dir, real, strlen(real) + 1);
    if (!weir_path_join(path, a->dir, "agent.lock")) {
        return weir_fail(err, -WEIR_EINVAL, "directory name too long");
    }
    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->lock_fd < 0) {
        return weir_fail(err, -WEIR_EIO, "cannot open '%.300s': %s", path, strerror(errno));
    }
    if (flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return weir_fail(err, -WEIR_EINUSE, "another agent runs on '%.300s'; stop it, or give this one a directory of its own", a->dir);
    }
    /* For people and the broker, so that they can end it. */
    if (ftruncate(a->lock_fd, 0) < 0 || dprintf(a->lock_fd, "%ld\n", (long)getpid()) < 0) {
        return weir_fail(err, -WEIR_EIO, "cannot write '%.300s': %s", path, strerror(errno));
    }
    a->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return a->null_fd < 0 ? weir_fail(err, -WEIR_EIO, "/dev/null: %s", strerror(errno)) : 0;
}

static int make_id(struct agent *a, struct weir_err *err)
{
    char path[WEIR_PATH_SIZE], temp[WEIR_PATH_SIZE], text[64];
    unsigned char random[16];
    if (!weir_path_join(path, a->dir, "agent_id") || !weir_path_join(temp, a->dir, "agent_id.new")) {
        return weir_fail(err, -WEIR_EINVAL, "directory name too long");
    }
    long n = weir_slurp(path, text, sizeof text);
    if (n >= 32 && strspn(text, "0123456789abcdef") == 32) {
        (void)snprintf(a->agent_id, sizeof a->agent_id, "%.32s", text);
        return 0;
    }
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return weir_fail(err, -WEIR_EIO, "no random bytes: %s", strerror(errno));
    }
    for (int i = 0; i < 16; i++) {
        (void)snprintf(a->agent_id + 2 * i, 3, "%02x", random[i]);
    }
    WEIR_CLEANUP(weir_closep) int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, a->agent_id, 32) != 32 || fsync(fd) < 0 || rename(temp, path) < 0) {
        return weir_fail(err, -WEIR_EIO, "cannot write '%.300s': %s", path, strerror(errno));
    }
    return 0;
}

/* The first address of a network that is up; loopback where there is none or the broker is here. That of the link to the site (cloud/boot.c) is none:
 * machines reach the broker by it, not each other. */
static void find_address(struct agent *a)
{
    struct ifaddrs *list = NULL;
    (void)snprintf(a->address, sizeof a->address, "127.0.0.1");
    if (a->conf->address != NULL) {
        (void)snprintf(a->address, sizeof a->address, "%s", a->conf->address);
        return;
    }
    if (weir_url_is_loopback(a->url) || getifaddrs(&list) < 0) {
        return;
    }
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_LOOPBACK) == 0 &&
            (i->ifa_flags & IFF_UP) != 0 && !weir_streq(i->ifa_name, "weir") &&
            getnameinfo(i->ifa_addr, sizeof(struct sockaddr_in), a->address, sizeof a->address, NULL, 0, NI_NUMERICHOST) == 0) {
            break;
        }
    }
    freeifaddrs(list);
}

static void keep_env(char *buf, size_t size, const char *name, const char *otherwise)
{
    const char *v = getenv(name);
    (void)snprintf(buf, size, "%s", v != NULL && v[0] != '\0' && strlen(v) < size ? v : otherwise);
}

static void find_facts(struct agent *a)
{
    const struct passwd *pw = getpwuid(getuid());
    char boot[64];
    if (gethostname(a->host, sizeof a->host - 1) < 0 || a->host[0] == '\0') {
        (void)snprintf(a->host, sizeof a->host, "localhost");
    }
    a->host[strcspn(a->host, ".")] = '\0';
    (void)snprintf(a->user, sizeof a->user, "%s", pw == NULL ? "nobody" : pw->pw_name);
    (void)snprintf(a->home, sizeof a->home, "%s", pw == NULL || pw->pw_dir[0] != '/' ? "/" : pw->pw_dir);
    keep_env(a->path, sizeof a->path, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    keep_env(a->lang, sizeof a->lang, "LANG", "C.UTF-8");
    keep_env(a->tz, sizeof a->tz, "TZ", "");
    long n = weir_slurp("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    (void)snprintf(a->boot_id, sizeof a->boot_id, "%.36s", n > 0 ? boot : "unknown");
    find_address(a);
    a->self = (struct weir_agent_self){.protocol = a->conf->protocol != 0 ? a->conf->protocol : WEIR_AGENT_PROTOCOL,
                                       .agent_id = a->agent_id,
                                       .boot_id = a->boot_id,
                                       .name = a->conf->name != NULL ? a->conf->name : a->host,
                                       .pool = a->conf->pool != NULL ? a->conf->pool : "local",
                                       .address = a->address,
                                       .lease = a->conf->lease,
                                       .hardware = &a->hardware};
    a->facts = (struct weir_env_facts){.host = a->host,
                                       .user = a->user,
                                       .home = a->home,
                                       .shell = "/bin/sh",
                                       .path = a->path,
                                       .lang = a->lang,
                                       .tz = a->tz,
                                       .address = a->address,
                                       .run_dir = "",
                                       .workdir = "",
                                       .node_name = a->self.name,
                                       .pool = a->self.pool,
                                       .hardware = &a->hardware};
}

static int find_hardware(struct agent *a, struct weir_err *err)
{
    static const char *const kind[] = {"none", "v1", "v2"};
    char self[4096] = "", text[128];
    const struct weir_hardware_conf conf = {.gpus = a->conf->gpus,
                                            .nvml_path = a->conf->nvml_path,
                                            .sys_root = a->conf->sys_root,
                                            .cpu_milli = a->conf->cpu_milli,
                                            .mem_mib = a->conf->mem_mib};
    a->models = weir_gpu_table_new();
    int rc = weir_hardware_find(&a->hardware, &conf, a->models, err);
    if (rc < 0) {
        return rc;
    }
    (void)weir_slurp("/proc/self/cgroup", self, sizeof self);
    weir_cgroups_find(&a->cgroups, a->conf->cgroup_root == NULL ? "/sys/fs/cgroup" : a->conf->cgroup_root, self);
    a->hardware.cgroup = kind[a->cgroups.kind];
    weir_container_find(&a->container, a->path);
    weir_log(WEIR_LOG_NOTICE,
             "agent.host",
             "node=\"%s\" cpu_milli=%u mem_mib=%llu gpus=%zu declared=%s cgroup=\"%s\" container=%s dir=\"%s\"",
             a->self.name,
             a->hardware.cpu_milli,
             (unsigned long long)a->hardware.mem_mib,
             a->hardware.n_gpus,
             a->hardware.declared ? "yes" : "no",
             weir_cgroups_describe(&a->cgroups, text, sizeof text),
             a->container.tool == WEIR_CONTAINER_NONE ? "none" : weir_container_tool_name(a->container.tool),
             a->dir);
    return 0;
}

/* Supervisors say by datagram that a log has grown. */
static int open_tell(struct agent *a, struct weir_err *err)
{
    WEIR_CLEANUP(weir_closep) int dir = open(a->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    /* a socket's name may have 108 bytes only: go by the descriptor, whatever the directory's name */
    (void)snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", dir, WEIR_SHIM_SOCKET);
    (void)unlinkat(dir, WEIR_SHIM_SOCKET, 0);
    a->tell_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->tell_fd < 0 || bind(a->tell_fd, (const struct sockaddr *)&at, sizeof at) < 0) {
        return weir_fail(err, -WEIR_EIO, "socket in '%.300s': %s", a->dir, strerror(errno));
    }
    return 0;
}

static int open_loop(struct agent *a, struct weir_err *err)
{
    int rc = uv_loop_init(&a->loop);
    if (rc < 0) {
        return weir_fail(err, -WEIR_EIO, "event loop: %s", uv_strerror(rc));
    }
    (void)uv_timer_init(&a->loop, &a->wake);
    (void)uv_timer_init(&a->loop, &a->energy);
    (void)uv_timer_init(&a->loop, &a->look);
    (void)uv_signal_init(&a->loop, &a->sig_term);
    (void)uv_signal_init(&a->loop, &a->sig_int);
    (void)uv_signal_init(&a->loop, &a->sig_child);
    (void)uv_poll_init(&a->loop, &a->tell, a->tell_fd);
    a->wake.data = a->energy.data = a->look.data = a->tell.data = a;
    a->sig_term.data = a->sig_int.data = a->sig_child.data = a;
    (void)uv_signal_start(&a->sig_term, on_quit, SIGTERM);
    (void)uv_signal_start(&a->sig_int, on_quit, SIGINT);
    (void)uv_signal_start(&a->sig_child, on_child, SIGCHLD);
    (void)uv_poll_start(&a->tell, UV_READABLE, on_tell);
    a->http = a->conf->http;
    if (a->http == NULL) {
        a->own_http = true;
        a->http = weir_http_new(&a->loop);
        return weir_http_prepare(a->url, err);
    }
    return 0;
}

static void close_handle(uv_handle_t *h, void *arg)
{
    (void)arg;
    if (!uv_is_closing(h)) {
        uv_close(h, NULL);
    }
}

static void close_loop(struct agent *a)
{
    if (a->http != NULL) {
        agent_calls_cancel(a, false);
        weir_notice_stop(a->notice);
        a->notice = NULL;
    }
    if (a->own_http && a->http != NULL) {
        a->http->ops->free(a->http);
    }
    agent_runs_release(a);
    (void)uv_run(&a->loop, UV_RUN_NOWAIT);
    uv_walk(&a->loop, close_handle, NULL);
    (void)uv_run(&a->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&a->loop);
}

static uint64_t seed(void)
{
    uint64_t v = 0;
    return getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v ? v : (uint64_t)getpid();
}

static int run(struct agent *a, struct weir_err *err)
{
    int rc = open_tell(a, err);
    rc = rc < 0 ? rc : open_loop(a, err);
    if (rc < 0) {
        return rc;
    }
    agent_certificate_load(a);
    weir_agent_state_init(&a->state, seed(), a->conf->lease_expires);
    rc = agent_watch_notices(a, err);
    rc = rc < 0 ? rc : agent_runs_adopt(a, err);
    if (rc == 0) {
        agent_watch_begin(a);
        const struct weir_agent_event e = {.type = WEIR_AGENT_EV_TICK};
        agent_feed(a, &e);
        if (!a->exiting) {
            (void)uv_run(&a->loop, UV_RUN_DEFAULT);
        }
        weir_log(WEIR_LOG_NOTICE, "agent.end", "node=\"%s\" text=\"%s\"", a->self.name, a->exit_text);
        rc = a->exit_code == 0 ? 0 : weir_fail(err, a->exit_code, "%s", a->exit_text);
    }
    a->exiting = true;
    close_loop(a);
    weir_agent_state_release(&a->state);
    return rc;
}

static void power_off(const struct weir_agent_conf *conf)
{
    if (conf->power_off_argv == NULL || conf->power_off_argv[0] == NULL) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        union {
            const char *const *in;
            char *const *out;
        } argv = {.in = conf->power_off_argv};
        (void)execv(argv.in[0], argv.out);
        _exit(127);
    }
}

static void raise_file_limit(struct agent *a)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return;
    }
    a->files = files;
    if (files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

int weir_agent_main(const struct weir_agent_conf *conf, struct weir_err *err)
{
    if (conf->url == NULL || conf->url[0] == '\0') {
        return weir_fail(err, -WEIR_EINVAL, "the broker's URL is not given");
    }
    struct agent *a = weir_alloc(sizeof *a);
    a->conf = conf;
    a->clock = &weir_clock_os;
    a->lock_fd = a->null_fd = a->tell_fd = -1;
    a->body = WEIR_STR_INIT(64 * 1024);
    size_t n = strlen(conf->url);
    a->url = weir_strndup(conf->url, conf->url[n - 1] == '/' ? n - 1 : n);
    /* Logs pass through here in large pieces: give them back to the system instead of keeping them. */
    (void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    raise_file_limit(a);
    int rc = make_dirs(a, err);
    rc = rc < 0 ? rc : make_id(a, err);
    if (rc == 0) {
        find_facts(a);
        rc = find_hardware(a, err);
    }
    if (rc == 0) {
        weir_spawner_open(&a->spawner, a->null_fd, agent_run_spawn, a);
    }
    rc = rc < 0 ? rc : run(a, err);
    bool go_down = rc == 0 && a->power_off;
    weir_spawner_close(&a->spawner);
    weir_hardware_release(&a->hardware);
    if (a->models != NULL) {
        weir_gpu_table_free(a->models);
    }
    weir_closep(&a->tell_fd);
    weir_closep(&a->null_fd);
    weir_closep(&a->lock_fd);
    weir_vec_release(&a->queue);
    weir_str_release(&a->body);
    free(a->url);
    free(a);
    if (go_down) {
        power_off(conf);
    }
    return rc;
}
