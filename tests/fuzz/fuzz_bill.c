/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes choose the lives of nodes and runs; the checker of the ledger is the oracle. The same life with restarts in between
 * must give the same ledger.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bill_ops.h"
#include "fuzz.h"

enum { BYTES_MAX = 4096 };

static void run(const uint8_t *data, size_t n, const struct bill_ops_conf *conf, struct bill_ops_result *ret)
{
    struct weir_err err = {{0}};
    if (bill_ops_run(data, n, conf, ret, &err) != 0) {
        (void)fprintf(stderr, "%s%s\n", conf->restart ? "with restarts: " : "", err.text);
        WEIR_ASSERT(!"the ledger is proven");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bill_ops_result a;
    struct bill_ops_result b;
    size_t n = size > BYTES_MAX ? (size_t)BYTES_MAX : size;
    struct bill_ops_conf conf = {.settle_every = n > 0 ? data[0] % 16 : 0, .record = true};
    run(data, n, &conf, &a);
    conf.restart = true;
    run(data, n, &conf, &b);
    WEIR_ASSERT(a.postings.n == b.postings.n);
    for (size_t i = 0; i < a.postings.n; i++) {
        WEIR_ASSERT(a.postings.p[i].amount_micro == b.postings.p[i].amount_micro);
        WEIR_ASSERT(a.postings.p[i].to.us == b.postings.p[i].to.us);
    }
    weir_vec_release(&a.postings);
    weir_vec_release(&b.postings);
    return 0;
}
