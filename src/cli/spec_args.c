/* SPDX-License-Identifier: Apache-2.0 */
#include "spec_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/parse.h"
#include "output.h"

enum { JSON_BYTES_MAX = 4 << 20 };

/*
 * What a command needs of its caller to find the same programs, libraries and files. Not the whole
 * environment, as sbatch passes: that carries secrets (cloud keys, tokens) into the store.
 */
static const char *const caller_env[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    NULL,
};

static void set_text(char **to, const char *text)
{
    free(*to);
    *to = weir_strdup(text);
}

/* Replaces the pair with that key or adds one. */
static int set_pair(struct weir_pair **pair, size_t *n, size_t max, struct weir_sv key, const char *value,
                    struct weir_err *err)
{
    for (size_t i = 0; i < *n; i++) {
        if (weir_sv_eq(weir_sv_of((*pair)[i].key), key)) {
            set_text(&(*pair)[i].value, value);
            return 0;
        }
    }
    if (*n >= max) {
        return weir_fail(err, -WEIR_ELIMIT, "'%.*s': more than %zu of its kind", WEIR_SV_ARG(key), max);
    }
    *pair = weir_realloc(*pair, *n + 1, sizeof **pair);
    (*pair)[(*n)++] = (struct weir_pair){weir_strndup(key.p, key.n), weir_strdup(value)};
    return 0;
}

static bool has_env(const struct weir_spec *s, const char *key)
{
    for (size_t i = 0; i < s->n_envs; i++) {
        if (weir_streq(s->envs[i].key, key)) {
            return true;
        }
    }
    return false;
}

static int apply_tags_and_env(const struct weir_args *args, struct weir_spec *s, struct weir_err *err)
{
    const char *text;
    for (size_t i = 0; (text = weir_args_nth(args, "tag", i)) != NULL; i++) {
        struct weir_sv rest = weir_sv_of(text);
        struct weir_sv key = weir_sv_cut(&rest, '=');
        if (rest.p == NULL || key.n == 0) {
            return weir_fail(err, -WEIR_EINVAL, "option '--tag %s': a tag is KEY=VALUE", text);
        }
        int r = set_pair(&s->tags, &s->n_tags, WEIR_SPEC_TAGS_MAX, key, rest.p, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--tag'");
        }
    }
    for (size_t i = 0; (text = weir_args_nth(args, "env", i)) != NULL; i++) {
        struct weir_sv rest = weir_sv_of(text);
        struct weir_sv key = weir_sv_cut(&rest, '=');
        if (key.n == 0) {
            return weir_fail(err, -WEIR_EINVAL, "option '--env %s': a variable is NAME=VALUE or NAME", text);
        }
        const char *value = rest.p != NULL ? rest.p : getenv(text);
        if (value == NULL) {
            return weir_fail(err, -WEIR_EINVAL, "option '--env %s': you have no such variable; give --env %s=VALUE",
                             text, text);
        }
        int r = set_pair(&s->envs, &s->n_envs, WEIR_SPEC_ENVS_MAX, key, value, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--env'");
        }
    }
    return 0;
}

static int apply_size(const struct weir_args *args, struct weir_spec *s, struct weir_gpu_table *gpus,
                      struct weir_err *err)
{
    const char *text = weir_args_text(args, "gpus");
    int r = 0;
    if (text != NULL) {
        r = weir_spec_parse_gpus(weir_sv_of(text), gpus, &s->request, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--gpus'");
        }
        weir_spec_warn_gpus(s, gpus);
    }
    text = weir_args_text(args, "cpus");
    if (text != NULL) {
        int64_t milli = 0;
        r = weir_parse_decimal(weir_sv_of(text), 3, &milli, err);
        if (r == 0 && (milli <= 0 || milli > UINT32_MAX)) {
            r = weir_fail(err, -WEIR_EOVERFLOW, "'%s' is not a number of cores", text);
        }
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--cpus'");
        }
        s->request.cpu_milli = (uint32_t)milli;
    }
    text = weir_args_text(args, "memory");
    if (text != NULL) {
        uint64_t bytes = 0;
        r = weir_parse_bytes(weir_sv_of(text), UINT64_C(1) << 30, &bytes, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--memory'");
        }
        s->request.mem_mib = (bytes + (1 << 20) - 1) >> 20;
    }
    s->request.nodes = (uint32_t)weir_args_count(args, "nodes", s->request.nodes);
    text = weir_args_text(args, "array");
    if (text != NULL) {
        r = weir_spec_parse_array(weir_sv_of(text), s, err);
        if (r < 0) {
            return weir_fail_prefix(err, r, "option '--array'");
        }
    }
    return 0;
}

static int apply_names(const struct weir_args *args, const char *option, char *to, size_t size, uint8_t *n,
                       struct weir_err *err)
{
    const char *text;
    for (size_t i = 0; (text = weir_args_nth(args, option, i)) != NULL; i++) {
        if (i >= WEIR_PLACEMENT_NAMES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "option '--%s': given more than %d times", option,
                             WEIR_PLACEMENT_NAMES_MAX);
        }
        size_t length = strlen(text);
        if (length >= size) {
            return weir_fail(err, -WEIR_ELIMIT, "option '--%s %s': longer than %zu bytes", option, text, size - 1);
        }
        memset(to + i * size, 0, size);
        memcpy(to + i * size, text, length);
        *n = (uint8_t)(i + 1);
    }
    return 0;
}

static int apply_placement(const struct weir_args *args, struct weir_request *q, struct weir_err *err)
{
    if (weir_args_has(args, "spot") && weir_args_has(args, "on-demand")) {
        return weir_fail(err, -WEIR_EINVAL, "options '--spot' and '--on-demand' contradict each other");
    }
    if (weir_args_has(args, "local-only") && weir_args_has(args, "cloud-only")) {
        return weir_fail(err, -WEIR_EINVAL, "options '--local-only' and '--cloud-only' contradict each other");
    }
    if (weir_args_has(args, "spot")) {
        q->market = WEIR_MARKET_SPOT;
    }
    if (weir_args_has(args, "on-demand")) {
        q->market = WEIR_MARKET_ON_DEMAND;
    }
    if (weir_args_has(args, "local-only")) {
        q->local = WEIR_LOCAL_ONLY;
    }
    if (weir_args_has(args, "cloud-only")) {
        q->local = WEIR_LOCAL_NEVER;
    }
    if (weir_args_has(args, "same-zone")) {
        q->same_zone = true;
    }
    int r = apply_names(args, "cloud", q->cloud[0], sizeof q->cloud[0], &q->clouds, err);
    if (r == 0) {
        r = apply_names(args, "region", q->region[0], sizeof q->region[0], &q->regions, err);
    }
    return r;
}

static int apply_limits(const struct weir_args *args, struct weir_spec *s, struct weir_err *err)
{
    struct weir_request *q = &s->request;
    q->max_duration = weir_args_duration(args, "max-duration", q->max_duration);
    q->expected = weir_args_duration(args, "expected", q->expected);
    q->checkpoint_every = weir_args_duration(args, "checkpoint-every", q->checkpoint_every);
    char currency[2][WEIR_CURRENCY_SIZE];
    q->delay_cost_micro_per_hour = weir_args_money(args, "delay-cost", q->delay_cost_micro_per_hour, currency[0]);
    q->max_cost_micro = weir_args_money(args, "max-cost", q->max_cost_micro, currency[1]);
    int r = weir_spec_note_currency(s, currency[0], err);
    r = r < 0 ? r : weir_spec_note_currency(s, currency[1], err);
    if (r < 0) {
        return r;
    }
    q->retries = (uint32_t)weir_args_count(args, "retries", q->retries);
    s->priority = (int32_t)weir_args_count(args, "priority", (uint64_t)s->priority);
    if (weir_args_has(args, "max-cost") && q->max_cost_micro == 0) {
        return weir_fail(err, -WEIR_EINVAL, "option '--max-cost 0': nothing runs for nothing; leave it out where there is no limit");
    }
    const char *deadline = weir_args_text(args, "deadline");
    if (deadline != NULL) {
        s->deadline = (struct weir_wall){0};
        s->deadline_after = (struct weir_dur){0};
        if (weir_parse_duration(weir_sv_of(deadline), &s->deadline_after, NULL) < 0 &&
            weir_parse_time(weir_sv_of(deadline), &s->deadline, NULL) < 0) {
            return weir_fail(err, -WEIR_EINVAL,
                             "option '--deadline %s': neither a span (36h) nor a time "
                             "(2026-11-30T18:00:00Z)",
                             deadline);
        }
    }
    return 0;
}

int weir_spec_args_apply(const struct weir_args *args, struct weir_spec *spec, struct weir_gpu_table *gpus,
                         struct weir_err *err)
{
    static const struct {
        const char *option;
        size_t at;
    } text[] = {
        {"name", offsetof(struct weir_spec, name)},
        {"project", offsetof(struct weir_spec, project)},
        {"image", offsetof(struct weir_spec, image)},
        {"workdir", offsetof(struct weir_spec, workdir)},
        {"checkpoint", offsetof(struct weir_spec, checkpoint_path)},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(text); i++) {
        const char *value = weir_args_text(args, text[i].option);
        if (value != NULL) {
            set_text((char **)(void *)((char *)spec + text[i].at), value);
        }
    }
    int r = apply_tags_and_env(args, spec, err);
    if (r == 0) {
        r = apply_size(args, spec, gpus, err);
    }
    if (r == 0) {
        r = apply_placement(args, &spec->request, err);
    }
    if (r == 0) {
        r = apply_limits(args, spec, err);
    }
    return r < 0 ? r : weir_spec_finish(spec, err);
}

int weir_spec_args_surroundings(const struct weir_args *args, const struct weir_client *api, struct weir_spec *spec,
                                struct weir_err *err)
{
    bool is_command = spec->origin == WEIR_SPEC_COMMAND || spec->origin == WEIR_SPEC_SLURM;
    bool relative = spec->workdir != NULL && spec->workdir[0] != '/' && spec->workdir[0] != '~';
    if (!weir_client_is_local(api)) {
        if (relative) {
            return weir_fail(err, -WEIR_EINVAL,
                             "workdir '%s' is relative, and the broker at %s is on another host: "
                             "give a path that the nodes have",
                             spec->workdir, weir_client_url(api));
        }
        return 0;
    }
    if (relative || (spec->workdir == NULL && is_command)) {
        WEIR_CLEANUP(weir_freep) char *here = getcwd(NULL, 0);
        if (here == NULL) {
            return weir_fail(err, weir_error_from_errno(errno), "the current directory cannot be read: give --workdir");
        }
        struct weir_str path = WEIR_STR_INIT(8192);
        weir_str_adds(&path, here);
        if (relative && !weir_streq(spec->workdir, ".")) {
            weir_str_addf(&path, "/%s", spec->workdir);
        }
        set_text(&spec->workdir, weir_str_cstr(&path));
        weir_str_release(&path);
    }
    if (!is_command || spec->image != NULL || weir_args_has(args, "clean-env")) {
        return 0;
    }
    for (const char *const *name = caller_env; *name != NULL; name++) {
        const char *value = getenv(*name);
        if (value == NULL || has_env(spec, *name) || !weir_utf8_is_text(weir_sv_of(value))) {
            continue;
        }
        int r = set_pair(&spec->envs, &spec->n_envs, WEIR_SPEC_ENVS_MAX, weir_sv_of(*name), value, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

void weir_spec_args_warn(const char *file, const struct weir_spec *spec, const json_t *answer)
{
    for (size_t i = 0; spec != NULL && i < spec->n_warnings; i++) {
        weir_talk("warning: %s", spec->warning[i]);
    }
    size_t i;
    json_t *w;
    json_array_foreach(json_object_get(answer, "warnings"), i, w)
    {
        if (json_is_string(w)) {
            weir_talk("warning: %s: %s", file, json_string_value(w));
        }
    }
}

int weir_spec_args_post(struct weir_client *api, const struct weir_spec *spec, const struct weir_gpu_table *gpus,
                        bool dry_run, json_t **ret, struct weir_err *err)
{
    struct weir_str body = WEIR_STR_INIT(JSON_BYTES_MAX);
    weir_spec_to_json(spec, gpus, &body);
    int r;
    if (body.overflowed) {
        r = weir_fail(err, -WEIR_ELIMIT, "job '%s': larger than %d bytes", spec->name, JSON_BYTES_MAX);
    } else {
        r = weir_client_call(api, "POST", dry_run ? "/v1/jobs?dry_run=true" : "/v1/jobs", weir_str_cstr(&body), ret,
                             err);
    }
    weir_str_release(&body);
    if (!dry_run && (r == -WEIR_ETIMEOUT || r == -WEIR_EIO)) {
        char text[sizeof err->text];
        (void)snprintf(text, sizeof text, "%s", err->text);
        return weir_fail(
            err, r, "%.300s; the job may have been accepted: look with 'weir jobs' before submitting it again", text);
    }
    return r;
}
