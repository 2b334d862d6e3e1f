/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers of providers' bills, plain and gzip alike. What is given as a line must be text with a sound span, must
 * be the same when it is read a second time, and what is refused must name the file.
 */

#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "cli/invoice.h"
#include "fuzz.h"
#include "fuzz_file.h"

static uint64_t read_whole(const char *path)
{
    WEIR_CLEANUP(weir_invoice_freep) struct weir_invoice *v = NULL;
    struct weir_invoice_line l;
    struct weir_err err = {0};
    uint64_t sum = 0;
    int r = weir_invoice_open(&v, path, &err);
    while (r >= 0 && (r = weir_invoice_next(v, &l, &err)) == 1) {
        WEIR_ASSERT(weir_utf8_is_text(l.resource) && weir_utf8_is_text(l.kind) && weir_utf8_is_text(l.currency));
        WEIR_ASSERT(l.from.us <= l.to.us);
        sum = sum * 31 + l.identity + (uint64_t)l.nano;
    }
    if (r < 0) {
        WEIR_ASSERT(strstr(err.text, path) != NULL);
        sum = ~sum;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[FUZZ_PATH_SIZE];
    WEIR_CLEANUP(weir_closep) int fd = size > 65536 ? -1 : fuzz_file(data, size, path);
    if (fd < 0) {
        return 0;
    }
    uint64_t once = read_whole(path);
    WEIR_ASSERT(once == read_whole(path));
    return 0;
}
