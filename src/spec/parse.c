/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the kinds of job file apart and reads each with its reader. */
#include "spec/spec.h"

#include <jansson.h>
#include <string.h>

#include "spec/spec_priv.h"

static int read_file(const struct doc *root,
                     const char *file_name,
                     struct weir_gpu_table *gpus,
                     const struct weir_spec_given *given,
                     struct weir_spec *s,
                     struct weir_err *err)
{
    if (root == NULL || root->kind == DOC_NULL) {
        return weir_fail(err, -WEIR_EINVAL,
                         "%s: the file is empty; a job needs at least run: COMMAND", file_name);
    }
    spec_name_from_file(s, file_name);
    struct reader rd = {.file_name = file_name, .spec = s, .gpus = gpus, .err = err};
    rd.given = given->env;
    rd.n_given = given->n_envs;
    return read_document(&rd, root);
}

/* The number of its first line that says something, where that is no line of YAML with a key, a list or braces; else 0. */
static size_t line_of_commands(struct weir_sv text)
{
    for (size_t n = 1; text.p != NULL; n++) {
        struct weir_sv line = weir_sv_trim(weir_sv_cut(&text, '\n'));
        if (line.n == 0 || line.p[0] == '#' || weir_sv_eq(line, WEIR_SV("---"))) {
            continue;
        }
        struct weir_sv rest = line;
        struct weir_sv key = weir_sv_cut(&rest, ':');
        bool keyed = rest.p != NULL && (rest.n == 0 || rest.p[0] == ' ') && memchr(key.p, ' ', key.n) == NULL;
        return !keyed && memchr("-{[\"'", line.p[0], 5) == NULL ? n : 0;
    }
    return 0;
}

static int parse_yaml(struct weir_sv text,
                      const char *file_name,
                      struct weir_gpu_table *gpus,
                      const struct weir_spec_given *given,
                      struct weir_spec *s,
                      struct weir_err *err)
{
    WEIR_CLEANUP(weir_arena_release) struct weir_arena arena = {0};
    WEIR_CLEANUP(weir_freep) struct doc *json_doc = NULL;
    struct doc *root = NULL;
    json_t *json = NULL;
    int r = doc_from_yaml(text, file_name, &arena, &root, err);
    if (r == -WEIR_EINVAL && weir_sv_starts(weir_sv_trim(text), WEIR_SV("{"))) {
        /* Nearly all JSON is YAML, and YAML knows the places; surrogate pairs are the exception. */
        json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
        r = json == NULL ? r : doc_from_json(json, &json_doc, err);
        r = json == NULL || r == 0 ? r : weir_fail_prefix(err, r, "%s", file_name);
        root = json_doc;
    }
    bool no_job = r == -WEIR_EINVAL || (r == 0 && root != NULL && root->kind == DOC_SCALAR);
    size_t line = no_job ? line_of_commands(text) : 0;
    if (line > 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s:%zu:1: neither a script, which begins with a line such as #!/bin/sh, nor a job file, which is YAML with command: or run:", file_name, line);
    }
    r = r != 0 ? r : read_file(root, file_name, gpus, given, s, err);
    json_decref(json);
    return r;
}

/* "#!" at the start, or a line that begins with #SBATCH. */
static bool is_script(struct weir_sv text)
{
    struct weir_sv rest = text;
    if (weir_sv_starts(text, WEIR_SV("#!"))) {
        return true;
    }
    while (rest.p != NULL) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        if (weir_sv_starts(line, WEIR_SV("#SBATCH"))) {
            return true;
        }
        struct weir_sv trimmed = weir_sv_trim(line);
        if (trimmed.n > 0 && trimmed.p[0] != '#') {
            return false;
        }
    }
    return false;
}

void weir_spec_warn_gpus(struct weir_spec *s, const struct weir_gpu_table *gpus)
{
    for (uint32_t i = 0; i < s->request.alternatives; i++) {
        uint16_t model = s->request.alternative[i].model;
        if (model == WEIR_GPU_MODEL_ANY || weir_gpu_table_get(gpus, model)->mem_mib != 0) {
            continue;
        }
        const char *name = weir_gpu_table_get(gpus, model)->name;
        const char *known[WEIR_GPU_MODELS_MAX + 1];
        size_t n = 0;
        for (size_t k = 0; k < weir_gpu_table_count(gpus); k++) {
            const struct weir_gpu_model *m = weir_gpu_table_get(gpus, (uint16_t)k);
            if (m->mem_mib != 0) {
                known[n++] = m->name;
            }
        }
        known[n] = NULL;
        const char *near = weir_nearest(weir_sv_of(name), known);
        if (near != NULL) {
            spec_warn(s, "GPU '%s' is not a known model; did you mean '%s'?", name, near);
        } else {
            spec_warn(s,
                      "GPU '%s' is not a known model; only nodes that name it so can run the job",
                      name);
        }
    }
}

int weir_spec_parse(struct weir_sv text,
                    const char *file_name,
                    struct weir_gpu_table *gpus,
                    struct weir_spec **ret,
                    struct weir_err *err)
{
    return weir_spec_parse_given(text, file_name, gpus, &(struct weir_spec_given){0}, ret, err);
}

int weir_spec_parse_given(struct weir_sv text,
                          const char *file_name,
                          struct weir_gpu_table *gpus,
                          const struct weir_spec_given *given,
                          struct weir_spec **ret,
                          struct weir_err *err)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = weir_spec_new();
    struct weir_err scratch = {0};
    struct weir_err *e = err == NULL ? &scratch : err;
    if (text.n > WEIR_SPEC_BYTES_MAX) {
        return weir_fail(e, -WEIR_ELIMIT, "%s: %zu bytes; a job file has at most %d", file_name,
                         text.n, WEIR_SPEC_BYTES_MAX);
    }
    int r;
    if (is_script(text)) {
        spec_name_from_file(s, file_name);
        r = script_parse(text, file_name, gpus, s, e);
    } else {
        r = parse_yaml(text, file_name, gpus, given, s, e);
    }
    if (r == 0) {
        weir_spec_warn_gpus(s, gpus);
        *ret = WEIR_TAKE(s);
    }
    return r;
}
