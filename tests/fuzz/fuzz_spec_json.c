/* SPDX-License-Identifier: Apache-2.0 */
/* The canonical form, as it comes over the API. */
#include "fuzz.h"

#include "spec_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (root != NULL) {
        struct weir_gpu_table *gpus = weir_gpu_table_new();
        struct weir_spec *s = NULL;
        struct weir_err err = {{0}};
        int r = weir_spec_from_json(root, gpus, &s, &err);
        check_result(r, &err, s, gpus);
        json_decref(root);
        weir_gpu_table_free(gpus);
    }
    return 0;
}
