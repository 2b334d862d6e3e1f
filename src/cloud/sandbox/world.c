/* SPDX-License-Identifier: Apache-2.0 */
#include "cloud/sandbox/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"

enum { FORGET_AFTER_DAYS = 30, START_TRIES = 3 };

extern char **environ;

static bool dir_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* instances/<id>, else gone/<id>: machines move in that order only, so none is missed between. */
static bool find_dir(const struct sandbox_world *w, const char *id, char ret[static SANDBOX_PATH_SIZE])
{
    static const char *const shelf[] = {"instances", "gone"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shelf); i++) {
        int n = snprintf(ret, SANDBOX_PATH_SIZE, "%s/%s/%s", w->root, shelf[i], id);
        if (n > 0 && n < SANDBOX_PATH_SIZE && dir_exists(ret)) {
            return true;
        }
    }
    return false;
}

/* ---- starting a machine's process ---- */

/* What the broker was told by its environment is none of the machine's business. */
static char **clean_environment(void)
{
    size_t n = 0;
    while (environ[n] != NULL) {
        n++;
    }
    char **env = weir_calloc(n + 1, sizeof *env);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (strncmp(environ[i], "WEIR_", 5) != 0 && strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0 &&
            strncmp(environ[i], "LISTEN_", 7) != 0) {
            env[k++] = environ[i];
        }
    }
    return env;
}

static int spawn_actions(posix_spawn_file_actions_t *a, posix_spawnattr_t *attr, const char *log)
{
    sigset_t none;
    sigset_t all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGKILL);
    (void)sigdelset(&all, SIGSTOP);
    int r = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDWR, 0);
    r = r != 0 ? r : posix_spawn_file_actions_addopen(a, 1, "/dev/null", O_RDWR, 0);
    r = r != 0 ? r : posix_spawn_file_actions_addopen(a, 2, log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    r = r != 0 ? r : posix_spawn_file_actions_addclosefrom_np(a, 3);
    r = r != 0 ? r : posix_spawnattr_setsigmask(attr, &none);
    r = r != 0 ? r : posix_spawnattr_setsigdefault(attr, &all);
    return r != 0 ? r
                  : posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

/* Runs `self_exe sandbox-machine dir`, which detaches by itself, and waits for that. */
static void start_machine(const char *self_exe, const char *dir)
{
    char log[SANDBOX_PATH_SIZE];
    if (!sandbox_path(log, dir, "machine.log")) {
        return;
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return;
    }
    if (posix_spawnattr_init(&attr) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return;
    }
    WEIR_CLEANUP(weir_freep) char *exe = weir_strdup(self_exe);
    WEIR_CLEANUP(weir_freep) char *path = weir_strdup(dir);
    char command[] = "sandbox-machine";
    char *argv[] = {exe, command, path, NULL};
    WEIR_CLEANUP(weir_freep) char **env = clean_environment();
    pid_t pid;
    int r = spawn_actions(&actions, &attr, log);
    r = r != 0 ? r : posix_spawn(&pid, exe, &actions, &attr, argv, env);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attr);
    int status;
    while (r == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
}

/* Reads the state, after seeing to it that a machine which should live has its process, and one whose
 * process was killed is buried. dir may change when it moves to gone/. False where unreadable. */
static bool settle(const struct sandbox_world *w, const char *id, char dir[static SANDBOX_PATH_SIZE],
                   struct sandbox_state *ret)
{
    for (int try = 0; try < START_TRIES; try++) {
        if (!find_dir(w, id, dir)) {
            return false;
        }
        int r = sandbox_read_state(dir, ret, NULL);
        if (r == 0 && (ret->state == WEIR_INSTANCE_GONE || sandbox_is_alive(dir))) {
            return true;
        }
        if (!sandbox_is_alive(dir)) {
            start_machine(w->self_exe, dir);
        }
    }
    if (!find_dir(w, id, dir)) {
        return false;
    }
    /* Made, but its process cannot be started: it exists as far as anybody can tell. */
    if (sandbox_read_state(dir, ret, NULL) < 0) {
        *ret = (struct sandbox_state){.state = WEIR_INSTANCE_PENDING};
    }
    return true;
}

static void fill_instance(const char *id, const struct sandbox_spec *spec, const struct sandbox_state *st,
                          struct weir_instance *ret)
{
    *ret = (struct weir_instance){.state = st->state,
                                  .launched = st->launched,
                                  .ended = st->ended,
                                  .reclaimed = st->reclaimed,
                                  .reclaim_at = st->reclaim_at};
    (void)snprintf(ret->id, sizeof ret->id, "%s", id);
    (void)snprintf(ret->token, sizeof ret->token, "%s", spec->token);
}

static bool read_instance(const struct sandbox_world *w, const char *id, struct sandbox_spec *spec,
                          struct weir_instance *ret)
{
    char dir[SANDBOX_PATH_SIZE];
    struct sandbox_state st;
    if (!settle(w, id, dir, &st) || sandbox_read_spec(dir, spec, NULL) < 0) {
        /* It may have moved to gone/ between the two. */
        if (!find_dir(w, id, dir) || sandbox_read_spec(dir, spec, NULL) < 0 || sandbox_read_state(dir, &st, NULL) < 0) {
            return false;
        }
    }
    fill_instance(id, spec, &st, ret);
    return true;
}

/* ---- looking over all ---- */

static int is_machine(const struct dirent *e)
{
    return sandbox_id_is_valid(e->d_name) ? 1 : 0;
}

/* The ids on a shelf, sorted; the caller frees each and the array. */
static size_t shelf_ids(const struct sandbox_world *w, const char *shelf, struct dirent ***ret)
{
    char path[SANDBOX_PATH_SIZE];
    *ret = NULL;
    int n = sandbox_path(path, w->root, shelf) ? scandir(path, ret, is_machine, alphasort) : 0;
    return n < 0 ? 0 : (size_t)n;
}

static void free_ids(struct dirent **ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(ids[i]);
    }
    free(ids);
}

static bool has_room(const struct sandbox_world *w, const struct sandbox_launch *l, struct weir_err *text)
{
    struct dirent **ids;
    size_t n = shelf_ids(w, "instances", &ids);
    uint32_t machines = 0;
    uint64_t gpus = 0;
    for (size_t i = 0; i < n; i++) {
        struct sandbox_spec spec;
        struct weir_instance inst;
        if (!read_instance(w, ids[i]->d_name, &spec, &inst) || inst.state == WEIR_INSTANCE_GONE) {
            continue;
        }
        machines++;
        gpus += weir_streq(spec.gpu, l->spec.gpu) ? spec.gpus : 0;
    }
    free_ids(ids, n);
    if (machines >= w->capacity) {
        (void)weir_fail(text, -WEIR_EUNAVAIL, "the sandbox has %u machines, which is all it can hold", machines);
        return false;
    }
    if (gpus + l->spec.gpus > l->gpu_capacity) {
        (void)weir_fail(text, -WEIR_EUNAVAIL, "the sandbox has %llu of %u %s in use", (unsigned long long)gpus,
                        l->gpu_capacity, l->spec.gpu);
        return false;
    }
    return true;
}

size_t sandbox_world_list(const struct sandbox_world *w, const char *after, struct weir_instance *ret, bool *ret_more)
{
    struct dirent **ids;
    size_t n_ids = shelf_ids(w, "instances", &ids);
    size_t n = 0;
    *ret_more = false;
    for (size_t i = 0; i < n_ids; i++) {
        struct sandbox_spec spec;
        struct weir_instance inst;
        if (strcmp(ids[i]->d_name, after) <= 0 || !read_instance(w, ids[i]->d_name, &spec, &inst) ||
            inst.state == WEIR_INSTANCE_GONE || !weir_streq(spec.owner, w->owner)) {
            continue;
        }
        if (n == w->page_size) {
            *ret_more = true;
            break;
        }
        ret[n++] = inst;
    }
    free_ids(ids, n_ids);
    return n;
}

bool sandbox_world_describe(const struct sandbox_world *w, const char *id, struct weir_instance *ret)
{
    struct sandbox_spec spec;
    return sandbox_id_is_valid(id) && read_instance(w, id, &spec, ret) && weir_streq(spec.owner, w->owner);
}

enum weir_provider_class sandbox_world_flag(const struct sandbox_world *w, const char *id, const char *flag,
                                            struct weir_err *text)
{
    struct sandbox_spec spec;
    struct weir_instance inst;
    if (!sandbox_id_is_valid(id) || !read_instance(w, id, &spec, &inst) || inst.state == WEIR_INSTANCE_GONE) {
        return WEIR_PROVIDER_OK;
    }
    if (!weir_streq(spec.owner, w->owner)) {
        (void)weir_fail(text, -WEIR_EDENIED, "instance %s belongs to another owner", id);
        return WEIR_PROVIDER_REFUSED;
    }
    char dir[SANDBOX_PATH_SIZE];
    if (find_dir(w, id, dir) && sandbox_raise_flag(dir, flag, text) < 0 && dir_exists(dir)) {
        return WEIR_PROVIDER_UNKNOWN;
    }
    return WEIR_PROVIDER_OK;
}

/* ---- launch ---- */

static int fill_dir(const char *dir, const struct sandbox_launch *l, struct weir_err *err)
{
    char wake[SANDBOX_PATH_SIZE];
    if (!sandbox_path(wake, dir, "wake") || mkfifo(wake, 0600) != 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s/wake: %s", dir, strerror(errno));
    }
    int r = sandbox_write_spec(dir, &l->spec, err);
    r = r < 0 ? r : sandbox_write_file(dir, "token", weir_sv_of(l->join_token), err);
    if (r == 0 && l->ca_pem != NULL) {
        r = sandbox_write_file(dir, "ca.pem", weir_sv_of(l->ca_pem), err);
    }
    return r;
}

/* The directory gets its name last, complete: whoever sees it can finish what was begun. */
static int make_dir(const struct sandbox_world *w, const char *id, const struct sandbox_launch *l, struct weir_err *err)
{
    char temp[SANDBOX_PATH_SIZE];
    char final[SANDBOX_PATH_SIZE];
    int a = snprintf(temp, sizeof temp, "%s/instances/.making-%s", w->root, id);
    int b = snprintf(final, sizeof final, "%s/instances/%s", w->root, id);
    if (a >= SANDBOX_PATH_SIZE || b >= SANDBOX_PATH_SIZE) {
        return weir_fail(err, -WEIR_ELIMIT, "%s: the path is too long", w->root);
    }
    sandbox_remove_tree(temp); /* of a launch that was cut off: nobody else is here, we hold the lock */
    if (mkdir(temp, 0700) != 0) {
        return weir_fail(err, weir_error_from_errno(errno), "%s: %s", temp, strerror(errno));
    }
    int r = fill_dir(temp, l, err);
    if (r == 0 && rename(temp, final) != 0) {
        r = weir_fail(err, weir_error_from_errno(errno), "%s: %s", final, strerror(errno));
    }
    if (r < 0) {
        sandbox_remove_tree(temp);
    }
    return r;
}

static enum weir_provider_class known_token(const struct sandbox_world *w, const char *id,
                                            const struct sandbox_launch *l, struct weir_instance *ret,
                                            struct weir_err *text)
{
    struct sandbox_spec spec;
    if (!read_instance(w, id, &spec, ret)) {
        (void)weir_fail(text, -WEIR_ECORRUPT, "instance %s exists but its files cannot be read", id);
        return WEIR_PROVIDER_UNKNOWN;
    }
    if (!weir_streq(spec.token, l->spec.token) || !weir_streq(spec.owner, w->owner)) {
        (void)weir_fail(text, -WEIR_EDENIED, "the token '%s' was used for something else", l->spec.token);
        return WEIR_PROVIDER_REFUSED;
    }
    return WEIR_PROVIDER_OK;
}

static int lock_root(const struct sandbox_world *w)
{
    char path[SANDBOX_PATH_SIZE];
    if (!sandbox_path(path, w->root, "lock")) {
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            (void)close(fd);
            return -1;
        }
    }
    return fd;
}

enum weir_provider_class sandbox_world_launch(const struct sandbox_world *w, const struct sandbox_launch *l,
                                              struct weir_instance *ret, bool *ret_new, struct weir_err *text)
{
    char id[SANDBOX_ID_SIZE];
    char dir[SANDBOX_PATH_SIZE];
    sandbox_id(l->spec.token, id);
    *ret_new = false;
    WEIR_CLEANUP(weir_closep) int lock = lock_root(w);
    if (lock < 0) {
        (void)weir_fail(text, -WEIR_EIO, "%s/lock: %s", w->root, strerror(errno));
        return WEIR_PROVIDER_REFUSED; /* nothing was done */
    }
    if (find_dir(w, id, dir)) {
        return known_token(w, id, l, ret, text);
    }
    *ret_new = true;
    if (l->refuse != WEIR_PROVIDER_OK) {
        (void)weir_fail(text, -WEIR_EUNAVAIL, "%s", l->refuse_text);
        return l->refuse;
    }
    if (!has_room(w, l, text)) {
        return WEIR_PROVIDER_NO_CAPACITY;
    }
    if (make_dir(w, id, l, text) < 0) {
        return WEIR_PROVIDER_REFUSED;
    }
    struct sandbox_spec spec;
    if (l->start) {
        return read_instance(w, id, &spec, ret) ? WEIR_PROVIDER_OK : WEIR_PROVIDER_UNKNOWN;
    }
    fill_instance(id, &l->spec, &(struct sandbox_state){.state = WEIR_INSTANCE_PENDING}, ret);
    return WEIR_PROVIDER_OK;
}

/* ---- opening ---- */

static void forget_old(const struct sandbox_world *w, struct weir_wall now)
{
    struct dirent **ids;
    size_t n = shelf_ids(w, "gone", &ids);
    for (size_t i = 0; i < n; i++) {
        char dir[SANDBOX_PATH_SIZE];
        struct sandbox_state st;
        int k = snprintf(dir, sizeof dir, "%s/gone/%s", w->root, ids[i]->d_name);
        if (k < SANDBOX_PATH_SIZE && sandbox_read_state(dir, &st, NULL) == 0 && st.state == WEIR_INSTANCE_GONE &&
            weir_wall_sub(now, st.ended).us > FORGET_AFTER_DAYS * WEIR_US_PER_DAY) {
            sandbox_remove_tree(dir);
        }
    }
    free_ids(ids, n);
}

int sandbox_world_open(struct sandbox_world *w, struct weir_wall now, struct weir_err *err)
{
    static const char *const shelf[] = {"", "instances", "gone"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(shelf); i++) {
        char path[SANDBOX_PATH_SIZE];
        if (!sandbox_path(path, w->root, shelf[i])) {
            return weir_fail(err, -WEIR_ECONFIG, "%s: the path is too long", w->root);
        }
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return weir_fail(err, weir_error_from_errno(errno), "%s: %s", path, strerror(errno));
        }
    }
    forget_old(w, now);
    struct dirent **ids;
    size_t n = shelf_ids(w, "instances", &ids);
    for (size_t i = 0; i < n; i++) {
        struct sandbox_spec spec;
        struct weir_instance inst;
        (void)read_instance(w, ids[i]->d_name, &spec, &inst);
    }
    free_ids(ids, n);
    return 0;
}
