/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What must hold after any input was read as a job: shared by the targets of spec. */

#include <stdlib.h>

#include <jansson.h>

#include "base/assert.h"
#include "spec/spec.h"

/* An error has a text; what was accepted is finished, and its canonical form is read back
 * unchanged. */
static inline void check_result(int r,
                                const struct weir_err *err,
                                struct weir_spec *s,
                                struct weir_gpu_table *gpus)
{
    if (r != 0) {
        WEIR_ASSERT(s == NULL && err->text[0] != '\0');
        return;
    }
    struct weir_str json = WEIR_STR_INIT(8 << 20);
    struct weir_str json_again = WEIR_STR_INIT(8 << 20);
    struct weir_spec *again = NULL;
    struct weir_err e = {{0}};
    WEIR_ASSERT(s->name != NULL && s->request.max_duration.us > 0);
    uint32_t tasks = weir_spec_task_count(s);
    WEIR_ASSERT(tasks >= 1 && tasks <= WEIR_ARRAY_TASKS_MAX);
    if (s->n_ranges > 0) {
        uint32_t index = weir_array_index(s->range, s->n_ranges, tasks - 1);
        WEIR_ASSERT(weir_array_ordinal(s->range, s->n_ranges, index) == tasks - 1);
    }
    weir_spec_to_json(s, gpus, &json);
    WEIR_ASSERT(!json.overflowed);
    json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    WEIR_ASSERT(root != NULL);
    WEIR_ASSERT(weir_spec_from_json(root, gpus, &again, &e) == 0);
    weir_spec_to_json(again, gpus, &json_again);
    WEIR_ASSERT(weir_sv_eq(weir_str_sv(&json), weir_str_sv(&json_again)));
    json_decref(root);
    weir_str_release(&json);
    weir_str_release(&json_again);
    weir_spec_free(again);
    weir_spec_free(s);
}
