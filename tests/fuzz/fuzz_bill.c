/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes choose the lives of nodes and runs; the checker of the ledger is the oracle. The same life with restarts in between
 * must give the same ledger.
 */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "bill_ops.h"
#include "fuzz.h"

enum { BYTES_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bill_ops_result a;
    struct bill_ops_result b;
    size_t n = size > BYTES_MAX ? (size_t)BYTES_MAX : size;
    struct bill_ops_conf conf = {.settle_every = n > 0 ? data[0] % 16 : 0, .record = true};
    WEIR_ASSERT(bill_ops_run(data, n, &conf, &a, NULL) == 0);
    conf.restart = true;
    WEIR_ASSERT(bill_ops_run(data, n, &conf, &b, NULL) == 0);
    WEIR_ASSERT(a.postings.n == b.postings.n);
    for (size_t i = 0; i < a.postings.n; i++) {
        WEIR_ASSERT(a.postings.p[i].amount_micro == b.postings.p[i].amount_micro);
        WEIR_ASSERT(a.postings.p[i].to.us == b.postings.p[i].to.us);
    }
    weir_vec_release(&a.postings);
    weir_vec_release(&b.postings);
    return 0;
}
