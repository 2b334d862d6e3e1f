/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays: ranges of indices, and references to one task of a job. */
#include "spec/spec.h"

#include <inttypes.h>

#include "base/parse.h"
#include "spec/spec_priv.h"

static uint32_t range_count(struct weir_range r)
{
    return (r.last - r.first) / r.step + 1;
}

/* The greatest common divisor, and x with a*x = g modulo b. */
static int64_t gcd_ext(int64_t a, int64_t b, int64_t *x)
{
    int64_t x0 = 1;
    int64_t x1 = 0;
    while (b != 0) {
        int64_t q = a / b;
        int64_t t = a - q * b;
        a = b;
        b = t;
        t = x0 - q * x1;
        x0 = x1;
        x1 = t;
    }
    *x = x0;
    return a;
}

/* Whether two ranges have an index in common: the smallest common member of both progressions by
 * the Chinese remainder theorem, then a look at the bounds. */
static bool ranges_meet(struct weir_range a, struct weir_range b)
{
    int64_t x;
    int64_t g = gcd_ext(a.step, b.step, &x);
    int64_t delta = (int64_t)b.first - (int64_t)a.first;
    if (delta % g != 0) {
        return false;
    }
    int64_t modulus = b.step / g;
    /* a.first + a.step * k is in b for k = k0 modulo b.step / g. */
    weir_i128 product = (weir_i128)(delta / g) * x;
    int64_t k0 = (int64_t)(product % modulus);
    if (k0 < 0) {
        k0 += modulus;
    }
    weir_i128 common = (weir_i128)a.first + (weir_i128)a.step * k0;
    weir_i128 lcm = (weir_i128)a.step * modulus;
    uint32_t low = a.first > b.first ? a.first : b.first;
    uint32_t high = a.last < b.last ? a.last : b.last;
    if (common < low) {
        common += (low - common + lcm - 1) / lcm * lcm;
    }
    return common <= high;
}

static int parse_range(struct weir_sv text, struct weir_range *ret, struct weir_err *err)
{
    struct weir_sv rest = weir_sv_trim(text);
    struct weir_sv bounds = weir_sv_cut(&rest, ':');
    bool has_step = rest.p != NULL;
    struct weir_sv last = bounds;
    struct weir_sv first = weir_sv_cut(&last, '-');
    uint64_t lo;
    uint64_t hi;
    uint64_t step = 1;
    int r = weir_parse_u64(first, 0, INDEX_MAX, &lo, err);
    hi = r == 0 ? lo : 0;
    if (r == 0 && last.p != NULL) {
        r = weir_parse_u64(last, 0, INDEX_MAX, &hi, err);
    }
    if (r == 0 && has_step) {
        r = weir_parse_u64(rest, 1, INDEX_MAX, &step, err);
    }
    if (r != 0) {
        return weir_fail_prefix(err, r, "array range '%.*s'", WEIR_SV_ARG(text));
    }
    if (has_step && last.p == NULL) {
        return weir_fail(err, -WEIR_EINVAL,
                         "array range '%.*s' has a step but no end; write 0-%.*s:%.*s",
                         WEIR_SV_ARG(text), WEIR_SV_ARG(first), WEIR_SV_ARG(rest));
    }
    if (hi < lo) {
        return weir_fail(err, -WEIR_EINVAL, "array range '%.*s' ends before it begins",
                         WEIR_SV_ARG(text));
    }
    hi -= (hi - lo) % step;
    *ret = (struct weir_range){(uint32_t)lo, (uint32_t)hi, lo == hi ? 1 : (uint32_t)step};
    return 0;
}

int weir_spec_parse_array(struct weir_sv text, struct weir_spec *s, struct weir_err *err)
{
    struct weir_range range[WEIR_SPEC_RANGES_MAX];
    size_t n = 0;
    uint64_t tasks = 0;
    uint64_t parallel = 0;
    struct weir_sv limit = weir_sv_trim(text);
    struct weir_sv ranges = weir_sv_cut(&limit, '%');
    if (ranges.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "the array is empty; write it as 0-99 or 1,3,5-9:2%%4");
    }
    if (limit.p != NULL) {
        int r = weir_parse_u64(weir_sv_trim(limit), 1, WEIR_ARRAY_TASKS_MAX, &parallel, err);
        if (r != 0) {
            return weir_fail_prefix(err, r, "array limit after '%%'");
        }
    }
    while (ranges.p != NULL) {
        if (n == WEIR_SPEC_RANGES_MAX) {
            return weir_fail(err, -WEIR_ELIMIT, "an array has at most %d ranges",
                             WEIR_SPEC_RANGES_MAX);
        }
        int r = parse_range(weir_sv_cut(&ranges, ','), &range[n], err);
        if (r != 0) {
            return r;
        }
        for (size_t i = 0; i < n; i++) {
            if (ranges_meet(range[i], range[n])) {
                return weir_fail(err, -WEIR_EINVAL,
                                 "array ranges %" PRIu32 "-%" PRIu32 " and %" PRIu32 "-%" PRIu32
                                 " overlap; each index may occur once",
                                 range[i].first, range[i].last, range[n].first, range[n].last);
            }
        }
        tasks += range_count(range[n]);
        n++;
    }
    if (tasks > WEIR_ARRAY_TASKS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT,
                         "the array has %" PRIu64 " tasks; at most %d are allowed", tasks,
                         WEIR_ARRAY_TASKS_MAX);
    }
    memset(s->range, 0, sizeof s->range);
    memcpy(s->range, range, n * sizeof *range);
    s->n_ranges = n;
    s->array_parallel = (uint32_t)parallel;
    return 0;
}

uint32_t weir_spec_task_count(const struct weir_spec *s)
{
    uint32_t n = 0;
    for (size_t i = 0; i < s->n_ranges; i++) {
        n += range_count(s->range[i]);
    }
    return s->n_ranges == 0 ? 1 : n;
}

uint32_t weir_array_index(const struct weir_range *range, size_t n, uint32_t ordinal)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t count = range_count(range[i]);
        if (ordinal < count) {
            return range[i].first + ordinal * range[i].step;
        }
        ordinal -= count;
    }
    return n == 0 ? ordinal : UINT32_MAX;
}

uint32_t weir_array_ordinal(const struct weir_range *range, size_t n, uint32_t index)
{
    uint32_t before = 0;
    for (size_t i = 0; i < n; i++) {
        if (index >= range[i].first && index <= range[i].last &&
            (index - range[i].first) % range[i].step == 0) {
            return before + (index - range[i].first) / range[i].step;
        }
        before += range_count(range[i]);
    }
    return n == 0 && index == 0 ? 0 : UINT32_MAX;
}

int weir_parse_task_ref(struct weir_sv text,
                        struct weir_job_id *ret_job,
                        uint32_t *ret_index,
                        bool *ret_has_index,
                        struct weir_err *err)
{
    struct weir_sv rest = weir_sv_trim(text);
    struct weir_sv job = weir_sv_cut(&rest, '_');
    uint64_t id;
    uint64_t index = 0;
    if (weir_parse_u64(job, 1, INT64_MAX, &id, NULL) != 0 ||
        (rest.p != NULL && weir_parse_u64(rest, 0, INDEX_MAX, &index, NULL) != 0)) {
        return weir_fail(err, -WEIR_EINVAL,
                         "'%.*s' is not a job such as 12 or a task of an array such as 12_7",
                         text.n > 60 ? 60 : (int)text.n, text.p);
    }
    ret_job->v = id;
    *ret_index = (uint32_t)index;
    *ret_has_index = rest.p != NULL;
    return 0;
}
