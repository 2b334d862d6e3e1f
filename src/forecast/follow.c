/* SPDX-License-Identifier: Apache-2.0 */

#include "follow.h"

#include "base/assert.h"

int64_t weir_follow_best(const struct weir_follow *f, size_t n)
{
    int64_t best = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        best = f->known[i] && f->work[i] < best ? f->work[i] : best;
    }
    return best;
}

void weir_follow_pass(struct weir_follow *f, const struct weir_follow_place *place, size_t n, int64_t units)
{
    WEIR_ASSERT(n <= WEIR_FOLLOW_PLACES_MAX && f->at < n && place[f->at].rate >= 0);
    /* First the moves at the stretch's beginning, then the stretch: nothing is gained by a move within it. */
    int64_t best = weir_follow_best(f, n);
    for (size_t i = 0; i < n; i++) {
        if (place[i].rate < 0) {
            continue;
        }
        if (!f->known[i]) {
            /* At the very first step every place is as good as any to begin in. */
            f->work[i] = best == INT64_MAX ? 0 : best + place[i].move;
            f->known[i] = true;
        } else if (f->work[i] > best + place[i].move) {
            f->work[i] = best + place[i].move;
        }
    }
    for (size_t i = 0; i < n; i++) {
        f->work[i] += f->known[i] ? place[i].rate * units : 0;
    }
}

size_t weir_follow_decide(struct weir_follow *f, const struct weir_follow_place *place, size_t n)
{
    size_t to = f->at;
    int64_t least = f->work[f->at];
    for (size_t i = 0; i < n; i++) {
        if (f->known[i] && i != f->at && f->work[i] + place[i].move < least) {
            least = f->work[i] + place[i].move;
            to = i;
        }
    }
    f->at = to;
    return to;
}
