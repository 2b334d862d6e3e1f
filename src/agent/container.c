/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- words ---- */

void weir_argv_add(struct weir_argv *a, const char *word)
{
    if (a->n + 2 > a->size) {
        a->size = a->size == 0 ? 32 : 2 * a->size;
        a->p = weir_realloc(a->p, a->size, sizeof *a->p);
    }
    a->p[a->n++] = weir_strdup(word);
    a->p[a->n] = NULL;
}

void weir_argv_addf(struct weir_argv *a, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    weir_argv_add(a, n < 0 ? "" : text);
    free(n < 0 ? NULL : text);
}

void weir_argv_release(struct weir_argv *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->p[i]);
    }
    free(a->p);
    *a = (struct weir_argv){0};
}

/* ---- finding ---- */

static bool find_program(const char *path, const char *name, char *ret, size_t size)
{
    struct weir_sv rest = weir_sv_of(path);
    while (rest.p != NULL) {
        struct weir_sv dir = weir_sv_cut(&rest, ':');
        int n = snprintf(ret, size, "%.*s/%s", WEIR_SV_ARG(dir), name);
        if (dir.n > 0 && n > 0 && (size_t)n < size && access(ret, X_OK) == 0) {
            return true;
        }
    }
    ret[0] = '\0';
    return false;
}

void weir_container_find(struct weir_container *ret, const char *path)
{
    *ret = (struct weir_container){.tool = WEIR_CONTAINER_NONE};
    if (find_program(path, "podman", ret->path, sizeof ret->path)) {
        ret->tool = WEIR_CONTAINER_PODMAN;
    } else if (access("/var/run/docker.sock", W_OK) == 0 && find_program(path, "docker", ret->path, sizeof ret->path)) {
        ret->tool = WEIR_CONTAINER_DOCKER;
    } else if (find_program(path, "apptainer", ret->path, sizeof ret->path) ||
               find_program(path, "singularity", ret->path, sizeof ret->path)) {
        ret->tool = WEIR_CONTAINER_APPTAINER;
    }
    static const char *const init[] = {"/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit", "/usr/local/lib/podman/catatonit",
                                       "/usr/lib/podman/catatonit", "/usr/bin/catatonit"};
    ret->no_init = ret->tool == WEIR_CONTAINER_PODMAN;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(init); i++) {
        ret->no_init = ret->no_init && access(init[i], X_OK) != 0;
    }
    static const char *const cdi[] = {"/etc/cdi/nvidia.yaml", "/etc/cdi/nvidia.json", "/var/run/cdi/nvidia.yaml", "/var/run/cdi/nvidia.json"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(cdi); i++) {
        ret->cdi = ret->cdi || access(cdi[i], R_OK) == 0;
    }
}

void weir_container_tool_env(struct weir_env *env)
{
    static const char *const prefix[] = {"CONTAINER", "DOCKER_", "XDG_RUNTIME_DIR=", "REGISTRY_AUTH_FILE=", "APPTAINER_", "SINGULARITY_"};
    for (char *const *line = environ; *line != NULL; line++) {
        const char *value = strchr(*line, '=');
        char key[64];
        bool is_for_tool = false;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(prefix); i++) {
            is_for_tool |= strncmp(*line, prefix[i], strlen(prefix[i])) == 0;
        }
        if (!is_for_tool || value == NULL || (size_t)(value - *line) >= sizeof key) {
            continue;
        }
        (void)snprintf(key, sizeof key, "%.*s", (int)(value - *line), *line);
        if (weir_env_get(env, key) == NULL) {
            weir_env_set(env, key, value + 1);
        }
    }
}

const char *weir_container_tool_name(enum weir_container_tool t)
{
    static const char *const name[] = {"", "podman", "docker", "apptainer"};
    return name[t];
}

/* ---- the command line ---- */

/* These belong to the image (or to the tool on the host), not to the job. */
static bool is_kept_outside(const char *line)
{
    static const char *const names[] = {"PATH=", "HOME=", "USER=", "LOGNAME=", "SHELL=", "PWD="};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        if (strncmp(line, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

static const struct weir_device *device_at(const struct weir_hardware *h, uint32_t index)
{
    return index < h->n_gpus ? &h->gpu[index] : NULL;
}

static int add_gpus(struct weir_argv *a, const struct weir_container *c, const struct weir_start *s, const struct weir_hardware *h, struct weir_err *err)
{
    if (s->n_gpus == 0 || h->declared) {
        return 0; /* declared devices exist in the environment only */
    }
    const struct weir_device *first = device_at(h, s->gpu[0]);
    if (first != NULL && first->kind == WEIR_DEVICE_AMD) {
        weir_argv_add(a, "--device");
        weir_argv_add(a, "/dev/kfd");
        for (size_t i = 0; i < s->n_gpus; i++) {
            const struct weir_device *d = device_at(h, s->gpu[i]);
            if (d != NULL && d->path[0] != '\0') {
                weir_argv_add(a, "--device");
                weir_argv_add(a, d->path);
            }
        }
        return 0;
    }
    if (c->cdi) {
        for (size_t i = 0; i < s->n_gpus; i++) {
            weir_argv_add(a, "--device");
            weir_argv_addf(a, "nvidia.com/gpu=%u", weir_device_number(h, s->gpu[i]));
        }
        return 0;
    }
    if (c->tool == WEIR_CONTAINER_DOCKER) {
        struct weir_str list = WEIR_STR_INIT(1024);
        for (size_t i = 0; i < s->n_gpus; i++) {
            weir_str_addf(&list, "%s%u", i == 0 ? "" : ",", weir_device_number(h, s->gpu[i]));
        }
        weir_argv_add(a, "--gpus");
        weir_argv_addf(a, "\"device=%s\"", weir_str_cstr(&list));
        weir_str_release(&list);
        return 0;
    }
    return weir_fail(err,
                     -WEIR_EUNAVAIL,
                     "podman cannot be given GPUs: no CDI description in /etc/cdi or /var/run/cdi; run 'nvidia-ctk cdi generate "
                     "--output=/etc/cdi/nvidia.yaml' on the node");
}

static void add_mount(struct weir_argv *a, const char *flag, const char *path)
{
    weir_argv_add(a, flag);
    weir_argv_addf(a, "%s:%s", path, path);
}

static void checkpoint_dir(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');
    (void)snprintf(ret, size, "%.*s", slash == NULL || slash == path ? 0 : (int)(slash - path), path);
}

static void add_mounts(struct weir_argv *a, const char *flag, const struct weir_start *s, const char *run_dir, const char *workdir)
{
    char dir[1024];
    add_mount(a, flag, run_dir);
    size_t n = strlen(run_dir);
    if (strncmp(workdir, run_dir, n) != 0 || (workdir[n] != '/' && workdir[n] != '\0')) {
        add_mount(a, flag, workdir);
    }
    if (s->spec->checkpoint_path != NULL && s->spec->checkpoint_path[0] == '/') {
        checkpoint_dir(s->spec->checkpoint_path, dir, sizeof dir);
        if (dir[0] != '\0' && access(dir, F_OK) == 0) {
            add_mount(a, flag, dir);
        }
    }
}

static int oci_argv(const struct weir_container *c,
                    const struct weir_start *s,
                    const struct weir_hardware *h,
                    const struct weir_env *env,
                    const char *name,
                    const char *run_dir,
                    const char *workdir,
                    struct weir_argv *a,
                    struct weir_err *err)
{
    weir_argv_add(a, c->path);
    weir_argv_add(a, "run");
    weir_argv_add(a, "--rm");
    if (!c->no_init) {
        weir_argv_add(a, "--init");
    }
    weir_argv_addf(a, "--name=%s", name);
    weir_argv_addf(a, "--cidfile=%s/" WEIR_CONTAINER_ID_FILE, run_dir);
    weir_argv_add(a, "--network=host");
    weir_argv_add(a, "--ipc=host"); /* what training frameworks need for shared memory */
    if (s->spec->request.mem_mib > 0) {
        weir_argv_addf(a, "--memory=%llum", (unsigned long long)s->spec->request.mem_mib);
    }
    if (s->spec->request.cpu_milli > 0) {
        weir_argv_addf(a, "--cpu-shares=%llu", (unsigned long long)s->spec->request.cpu_milli * 1024 / 1000);
    }
    add_mounts(a, "--volume", s, run_dir, workdir);
    weir_argv_addf(a, "--workdir=%s", workdir);
    int rc = add_gpus(a, c, s, h, err);
    for (size_t i = 0; rc == 0 && i < env->n; i++) {
        if (!is_kept_outside(env->p[i])) {
            weir_argv_add(a, "--env");
            weir_argv_addf(a, "%.*s", (int)(strchr(env->p[i], '=') - env->p[i]), env->p[i]);
        }
    }
    weir_argv_add(a, "--entrypoint=");
    weir_argv_add(a, s->spec->image);
    return rc;
}

static void apptainer_argv(const struct weir_container *c,
                           const struct weir_start *s,
                           const struct weir_hardware *h,
                           const char *run_dir,
                           const char *workdir,
                           struct weir_argv *a)
{
    const struct weir_device *first = s->n_gpus > 0 ? device_at(h, s->gpu[0]) : NULL;
    weir_argv_add(a, c->path);
    weir_argv_add(a, "exec");
    if (first != NULL && first->kind == WEIR_DEVICE_NVIDIA) {
        weir_argv_add(a, "--nv");
    } else if (first != NULL && first->kind == WEIR_DEVICE_AMD) {
        weir_argv_add(a, "--rocm");
    }
    add_mounts(a, "--bind", s, run_dir, workdir);
    weir_argv_add(a, "--pwd");
    weir_argv_add(a, workdir);
    bool is_file = s->spec->image[0] == '/' || strstr(s->spec->image, "://") != NULL;
    weir_argv_addf(a, "%s%s", is_file ? "" : "docker://", s->spec->image);
}

int weir_container_argv(const struct weir_container *c,
                        const struct weir_start *s,
                        const struct weir_hardware *h,
                        const struct weir_env *env,
                        const char *name,
                        const char *run_dir,
                        const char *workdir,
                        char *const *command,
                        struct weir_argv *ret,
                        struct weir_err *err)
{
    struct weir_argv a = {0};
    int rc = 0;
    switch (c->tool) {
    case WEIR_CONTAINER_NONE:
        rc = weir_fail(err,
                       -WEIR_EUNAVAIL,
                       "the job wants the image '%.100s', but this node has no podman, docker (with its daemon) or apptainer: "
                       "install one of them",
                       s->spec->image);
        break;
    case WEIR_CONTAINER_PODMAN:
    case WEIR_CONTAINER_DOCKER:
        rc = oci_argv(c, s, h, env, name, run_dir, workdir, &a, err);
        break;
    case WEIR_CONTAINER_APPTAINER:
        apptainer_argv(c, s, h, run_dir, workdir, &a);
        break;
    }
    if (rc < 0) {
        weir_argv_release(&a);
        return rc;
    }
    for (size_t i = 0; command[i] != NULL; i++) {
        weir_argv_add(&a, command[i]);
    }
    *ret = a;
    return 0;
}

void weir_container_remove_argv(const struct weir_container *c, const char *name, struct weir_argv *ret)
{
    if (c->tool != WEIR_CONTAINER_PODMAN && c->tool != WEIR_CONTAINER_DOCKER) {
        return;
    }
    weir_argv_add(ret, c->path);
    weir_argv_add(ret, "rm");
    weir_argv_add(ret, "--force");
    weir_argv_add(ret, name);
}
