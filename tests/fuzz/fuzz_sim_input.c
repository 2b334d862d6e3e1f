/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of traces, plain and gzip alike. The first byte chooses: 't' reads a table, anything else a log. Whatever is
 * given as a record must be text, must be the same when it is read a second time, and what is refused must name the file.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "fuzz.h"
#include "fuzz_file.h"
#include "cloud/input.h"

static const struct weir_input_column column[] = {{"submit_unix"}, {"duration_s"}, {"gpus", .optional = true}};

/* Reads the file to its end and gives a sum over everything that was said. */
static uint64_t read_whole(const char *path, bool table)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    struct weir_err err = {0};
    uint64_t sum = 0;
    int r = table ? weir_input_table(&in, path, column, WEIR_ARRAY_LEN(column), &err)
                  : weir_input_log(&in, path, ';', &err);
    while (r >= 0 && (r = weir_input_next(in, &err)) == 1) {
        for (size_t i = 0; i < weir_input_fields(in) + 1; i++) {
            struct weir_sv field = weir_input_field(in, i);
            int64_t v = 0;
            double d = 0;
            WEIR_ASSERT(weir_utf8_is_text(field));
            sum = sum * 31 + field.n;
            if (weir_input_i64(in, i < 3 ? i : 0, -1000, 1000, &v, NULL) == 0) {
                WEIR_ASSERT(v >= -1000 && v <= 1000);
                sum = sum * 31 + (uint64_t)v;
            }
            if (weir_input_real(in, i < 3 ? i : 0, -1, 1e6, &d, NULL) == 0) {
                WEIR_ASSERT(d >= -1 && d <= 1e6);
            }
        }
        WEIR_ASSERT(weir_input_permille(in) <= 1000);
    }
    if (r < 0) {
        WEIR_ASSERT(strstr(err.text, path) != NULL);
        sum = ~sum;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536) {
        return 0;
    }
    char path[FUZZ_PATH_SIZE];
    WEIR_CLEANUP(weir_closep) int fd = fuzz_file(data + 1, size - 1, path);
    if (fd < 0) {
        return 0;
    }
    WEIR_ASSERT(read_whole(path, data[0] == 't') == read_whole(path, data[0] == 't'));
    return 0;
}
