/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a script: each line of the input stands behind #SBATCH. */
#include "fuzz.h"

#include "spec_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_spec *s = NULL;
    struct weir_err err = {{0}};
    struct weir_str text = WEIR_STR_INIT(4 << 20);
    struct weir_sv rest = {(const char *)data, size};
    weir_str_adds(&text, "#!/bin/sh\n");
    while (rest.p != NULL && text.n < (1 << 20)) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        weir_str_adds(&text, "#SBATCH ");
        weir_str_add(&text, line.p, line.n);
        weir_str_addc(&text, '\n');
    }
    weir_str_adds(&text, "true\n");
    int r = weir_spec_parse(weir_str_sv(&text), "fuzz.sh", gpus, &s, &err);
    check_result(r, &err, s, gpus);
    weir_str_release(&text);
    weir_gpu_table_free(gpus);
    return 0;
}
