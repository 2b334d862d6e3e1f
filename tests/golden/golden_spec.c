/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads every job file of a folder and compares the canonical JSON, the warnings or the error with
 * the file NAME.expected beside it. "golden_spec DIR --update" writes those files anew; review the
 * diff.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/mem.h"
#include "spec/spec.h"

enum { FILES_MAX = 512, TEXT_MAX = 4 << 20 };

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_suffix(const char *s, const char *suffix)
{
    size_t n = strlen(s);
    size_t m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static char *read_file(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return NULL;
    }
    char *text = weir_alloc(TEXT_MAX + 1);
    *ret_n = fread(text, 1, TEXT_MAX, f);
    (void)fclose(f);
    return text;
}

/* Writes what the file gives; the JSON is indented, so that diffs can be read. */
static void describe(const char *name, struct weir_sv text, struct weir_str *out)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = NULL;
    struct weir_err err;
    int r = weir_spec_parse(text, name, gpus, &s, &err);
    if (r != 0) {
        weir_str_addf(out, "error: %s: %s\n", weir_error_name(r), err.text);
    } else {
        struct weir_str json = WEIR_STR_INIT(TEXT_MAX);
        weir_spec_to_json(s, gpus, &json);
        json_t *root = json_loads(weir_str_cstr(&json), JSON_REJECT_DUPLICATES, NULL);
        WEIR_CLEANUP(weir_spec_freep) struct weir_spec *again = NULL;
        struct weir_str json_again = WEIR_STR_INIT(TEXT_MAX);
        if (root == NULL || weir_spec_from_json(root, gpus, &again, &err) != 0) {
            weir_str_addf(out, "error: the canonical form is not read back: %s\n",
                          root == NULL ? "not JSON" : err.text);
        } else {
            weir_spec_to_json(again, gpus, &json_again);
            if (!weir_streq(weir_str_cstr(&json), weir_str_cstr(&json_again))) {
                weir_str_adds(out, "error: the canonical form changes when it is read back\n");
            }
        }
        char *pretty = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        weir_str_addf(out, "%s\n", pretty == NULL ? weir_str_cstr(&json) : pretty);
        free(pretty);
        json_decref(root);
        weir_str_release(&json);
        weir_str_release(&json_again);
        for (size_t i = 0; i < s->n_warnings; i++) {
            weir_str_addf(out, "warning: %s\n", s->warning[i]);
        }
    }
    weir_gpu_table_free(gpus);
}

static bool check(const char *dir, const char *name, bool update)
{
    struct weir_str path = WEIR_STR_INIT(4096);
    struct weir_str want_path = WEIR_STR_INIT(4096);
    struct weir_str got = WEIR_STR_INIT(TEXT_MAX);
    weir_str_addf(&path, "%s/%s", dir, name);
    weir_str_addf(&want_path, "%s/%s.expected", dir, name);
    size_t n = 0;
    WEIR_CLEANUP(weir_freep) char *text = read_file(weir_str_cstr(&path), &n);
    describe(name, (struct weir_sv){text, text == NULL ? 0 : n}, &got);
    bool ok = false;
    if (update) {
        FILE *f = fopen(weir_str_cstr(&want_path), "wb");
        if (f != NULL) {
            ok = fwrite(weir_str_cstr(&got), 1, got.n, f) == got.n;
            ok = fclose(f) == 0 && ok;
        }
    } else {
        size_t want_n = 0;
        WEIR_CLEANUP(weir_freep) char *want = read_file(weir_str_cstr(&want_path), &want_n);
        ok = want != NULL && weir_sv_eq((struct weir_sv){want, want_n}, weir_str_sv(&got));
        if (!ok) {
            (void)fprintf(stderr, "# %s: got\n%s# want\n%s", name, weir_str_cstr(&got),
                          want == NULL ? "(no file)\n" : want);
        }
    }
    weir_str_release(&path);
    weir_str_release(&want_path);
    weir_str_release(&got);
    return ok;
}

int main(int argc, char **argv)
{
    char *names[FILES_MAX];
    size_t n = 0;
    bool update = argc > 2 && weir_streq(argv[2], "--update");
    DIR *d = argc > 1 ? opendir(argv[1]) : NULL;
    if (d == NULL) {
        (void)fputs("usage: golden_spec DIR [--update]\n", stderr);
        return 2;
    }
    for (struct dirent *e = readdir(d); e != NULL && n < FILES_MAX; e = readdir(d)) {
        if (e->d_name[0] != '.' && !has_suffix(e->d_name, ".expected")) {
            names[n++] = weir_strdup(e->d_name);
        }
    }
    (void)closedir(d);
    qsort(names, n, sizeof *names, by_name);
    (void)printf("1..%zu\n", n);
    bool all = n > 0;
    for (size_t i = 0; i < n; i++) {
        bool ok = check(argv[1], names[i], update);
        all = all && ok;
        (void)printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, names[i]);
        free(names[i]);
    }
    return all ? 0 : 1;
}
