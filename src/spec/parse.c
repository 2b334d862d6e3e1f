/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the kinds of job file apart and reads each with its reader. */
#include "spec/spec.h"

#include <inttypes.h>

#include "spec/spec_priv.h"

static int parse_yaml(struct weir_sv text,
                      const char *file_name,
                      struct weir_gpu_table *gpus,
                      struct weir_spec *s,
                      struct weir_err *err)
{
    WEIR_CLEANUP(weir_arena_release) struct weir_arena arena = {0};
    struct doc *root = NULL;
    int r = doc_from_yaml(text, file_name, &arena, &root, err);
    if (r != 0) {
        return r;
    }
    if (root == NULL || root->kind == DOC_NULL) {
        return weir_fail(err, -WEIR_EINVAL, "%s: the file is empty; a job needs at least run: COMMAND", file_name);
    }
    spec_name_from_file(s, file_name);
    struct reader rd = {.file_name = file_name, .spec = s, .gpus = gpus, .err = err};
    return read_document(&rd, root);
}

int weir_spec_parse(struct weir_sv text,
                    const char *file_name,
                    struct weir_gpu_table *gpus,
                    struct weir_spec **ret,
                    struct weir_err *err)
{
    WEIR_CLEANUP(weir_spec_freep) struct weir_spec *s = weir_spec_new();
    struct weir_err scratch;
    struct weir_err *e = err == NULL ? &scratch : err;
    if (text.n > WEIR_SPEC_BYTES_MAX) {
        return weir_fail(e, -WEIR_ELIMIT, "%s: %zu bytes; a job file has at most %d", file_name, text.n,
                         WEIR_SPEC_BYTES_MAX);
    }
    int r = parse_yaml(text, file_name, gpus, s, e);
    if (r == 0) {
        *ret = WEIR_TAKE(s);
    }
    return r;
}
