/* SPDX-License-Identifier: Apache-2.0 */
/* Job files of any kind, as a person hands them in. */
#include "fuzz.h"

#include "spec_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_spec *s = NULL;
    struct weir_err err = {{0}};
    int r =
        weir_spec_parse((struct weir_sv){(const char *)data, size}, "fuzz.yaml", gpus, &s, &err);
    check_result(r, &err, s, gpus);
    weir_gpu_table_free(gpus);
    return 0;
}
