/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "core/frag.h"

enum { X = 1, Y = 2 }; /* bits of two GPU models */

static const struct weir_frag_ask whole = {.cpu_milli = 4000, .mem_mib = 10, .gpus = 1, .gpu_milli = 1000};
static const struct weir_frag_ask half = {.cpu_milli = 1000, .mem_mib = 10, .gpus = 1, .gpu_milli = 500};
static const struct weir_frag_ask pair = {.cpu_milli = 1000, .gpus = 2, .gpu_milli = 1000};
static const struct weir_frag_ask cpu_only = {.cpu_milli = 2000};
static const struct weir_frag_ask only_y = {.models = Y, .gpus = 1, .gpu_milli = 1000};

static struct weir_frag_room room_of(uint32_t cpu_milli, uint16_t first, uint16_t second)
{
    return (struct weir_frag_room){.model = X, .cpu_milli = cpu_milli, .mem_mib = 1000, .gpus = 2, .left_milli = {first, second}};
}

/* whole three times, half once, cpu_only twice, only_y once */
static struct weir_frag_mix mix_by_hand(void)
{
    const struct weir_frag_ask ask[] = {half, whole, only_y, cpu_only};
    const uint32_t count[] = {1, 3, 1, 2};
    struct weir_frag_mix mix;
    weir_frag_mix_build(&mix, ask, count, 4, WEIR_FRAG_ASKS_MAX, 100);
    return mix;
}

static void a_request_fits_by_cpu_memory_model_and_each_gpu(void **state)
{
    (void)state;
    static const struct {
        const struct weir_frag_ask *ask;
        uint32_t cpu_milli;
        uint16_t first;
        uint16_t second;
        bool fits;
    } rows[] = {
        {&whole, 4000, 1000, 0, true},  {&whole, 3999, 1000, 1000, false}, {&whole, 4000, 999, 999, false},
        {&half, 1000, 400, 500, true},  {&half, 1000, 499, 499, false},    {&pair, 1000, 1000, 1000, true},
        {&pair, 1000, 1000, 999, false}, {&cpu_only, 2000, 0, 0, true},    {&cpu_only, 1999, 1000, 1000, false},
        {&only_y, 9000, 1000, 1000, false},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_frag_room room = room_of(rows[i].cpu_milli, rows[i].first, rows[i].second);
        assert_int_equal(weir_frag_fits(&room, rows[i].ask), rows[i].fits);
    }
    struct weir_frag_room room = room_of(4000, 1000, 1000);
    room.mem_mib = 9;
    assert_false(weir_frag_fits(&room, &whole));
}

static void a_mix_keeps_the_most_frequent(void **state)
{
    (void)state;
    const struct weir_frag_ask ask[] = {half, whole, only_y, cpu_only, pair};
    const uint32_t count[] = {10, 60, 0, 25, 5};
    struct weir_frag_mix mix;
    weir_frag_mix_build(&mix, ask, count, 5, 2, 100);
    assert_int_equal(mix.n, 2);
    assert_int_equal(mix.weight, 85);
    assert_int_equal(mix.of[0].ask.gpu_milli, 1000);
    assert_int_equal(mix.of[1].ask.gpus, 0);
    weir_frag_mix_build(&mix, ask, count, 5, WEIR_FRAG_ASKS_MAX, 95);
    assert_int_equal(mix.n, 3);
    assert_int_equal(mix.weight, 95);
    weir_frag_mix_build(&mix, ask, count, 5, WEIR_FRAG_ASKS_MAX, 100);
    assert_int_equal(mix.n, 4);
    weir_frag_mix_build(&mix, ask, count, 0, WEIR_FRAG_ASKS_MAX, 100);
    assert_int_equal(mix.n, 0);
    struct weir_frag_room room = room_of(4000, 1000, 1000);
    assert_int_equal(weir_frag_of(&mix, &room), 0);
    assert_int_equal(weir_frag_best(&mix, &room, 0, &whole).score, 0);
}

static void fragments_are_what_each_request_cannot_use(void **state)
{
    (void)state;
    struct weir_frag_mix mix = mix_by_hand();
    /* 1400 free: whole and half cannot use the 400, the others nothing. */
    struct weir_frag_room room = room_of(8000, 1000, 400);
    assert_int_equal(weir_frag_of(&mix, &room), 3 * 400 + 400 + 2 * 1400 + 1400);
    /* Filled with its like, each that fits uses the 1000. */
    assert_int_equal(weir_frag_stranded(&mix, &room), 10 * (3 * 400 + 400 + 2 * 1400 + 1400));
    /* CPU for one half only: the second half of the GPU stays free. */
    room.cpu_milli = 1999;
    assert_int_equal(weir_frag_of(&mix, &room), 3 * 1400 + 400 + 2 * 1400 + 1400);
    assert_int_equal(weir_frag_stranded(&mix, &room), 10 * (3 * 1400 + 2 * 1400 + 1400) + 9 * 400 + (1400 - 500));
    room = room_of(8000, 0, 0);
    assert_int_equal(weir_frag_of(&mix, &room), 0);
    assert_int_equal(weir_frag_stranded(&mix, &room), 0);
}

/* The definition, written down as it is said. */
static void say(const struct weir_frag_room *room, const struct weir_frag_ask *a, int64_t *now, int64_t *filled)
{
    int64_t total = 0;
    int64_t useful = 0;
    int64_t copies = 0;
    for (uint32_t i = 0; i < room->gpus; i++) {
        total += room->left_milli[i];
        useful += a->gpus > 0 && room->left_milli[i] >= a->gpu_milli ? room->left_milli[i] : 0;
        copies += a->gpus > 0 ? room->left_milli[i] / a->gpu_milli : 0;
    }
    *now = total;
    *filled = total;
    if (a->gpus == 0 || !weir_frag_fits(room, a)) {
        return;
    }
    *now = total - useful;
    int64_t most = copies / a->gpus;
    int64_t n = most;
    while (n * a->cpu_milli > room->cpu_milli || n * a->mem_mib > room->mem_mib) {
        n--;
    }
    *filled = total - useful * n / most;
}

static void both_measures_equal_their_definition_on_random_rooms(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(7);
    for (int round = 0; round < 2000; round++) {
        struct weir_frag_ask ask[12];
        uint32_t count[12];
        for (size_t i = 0; i < 12; i++) {
            uint16_t gpus = (uint16_t)(weir_prng_below(&r, 4));
            ask[i] = (struct weir_frag_ask){.models = weir_prng_below(&r, 3) == 0 ? weir_prng_below(&r, 4) : 0,
                                            .cpu_milli = (uint32_t)weir_prng_below(&r, 9000),
                                            .mem_mib = (uint32_t)weir_prng_below(&r, 9000),
                                            .gpus = gpus,
                                            .gpu_milli = (uint16_t)(gpus == 1 ? 1 + weir_prng_below(&r, 1000) : 1000)};
            count[i] = (uint32_t)weir_prng_below(&r, 50);
        }
        struct weir_frag_mix mix;
        weir_frag_mix_build(&mix, ask, count, 12, WEIR_FRAG_ASKS_MAX, 100);
        struct weir_frag_room room = {.model = X, .gpus = (uint32_t)weir_prng_below(&r, 9)};
        room.cpu_milli = (uint32_t)weir_prng_below(&r, 30000);
        room.mem_mib = (uint32_t)weir_prng_below(&r, 30000);
        for (uint32_t i = 0; i < room.gpus; i++) {
            room.left_milli[i] = (uint16_t)(weir_prng_below(&r, 3) == 0 ? 1000 : weir_prng_below(&r, 1001));
        }
        int64_t want = 0;
        int64_t want_stranded = 0;
        for (size_t i = 0; i < 12; i++) {
            int64_t now = 0;
            int64_t filled = 0;
            say(&room, &ask[i], &now, &filled);
            want += count[i] * now;
            want_stranded += count[i] * (9 * now + filled);
        }
        assert_int_equal(weir_frag_of(&mix, &room), want);
        assert_int_equal(weir_frag_stranded(&mix, &room), want_stranded);
    }
}

static void a_share_goes_where_it_spoils_nothing(void **state)
{
    (void)state;
    const struct weir_frag_ask ask[] = {whole, half};
    const uint32_t count[] = {1, 1};
    struct weir_frag_mix mix;
    weir_frag_mix_build(&mix, ask, count, 2, WEIR_FRAG_ASKS_MAX, 100);
    /* The second GPU is already cut; the first stays whole. */
    struct weir_frag_room room = room_of(9000, 1000, 500);
    struct weir_frag_pick p = weir_frag_best(&mix, &room, weir_frag_stranded(&mix, &room), &half);
    assert_int_equal(p.gpu, 1);
    struct weir_frag_room cut = room_of(9000, 1000, 1000);
    struct weir_frag_pick q = weir_frag_best(&mix, &cut, weir_frag_stranded(&mix, &cut), &half);
    assert_true(p.score > q.score);
    assert_int_equal(q.gpu, 0);
    weir_frag_take(&room, &half, p.gpu);
    assert_int_equal(room.left_milli[0], 1000);
    assert_int_equal(room.left_milli[1], 0);
    assert_int_equal(room.cpu_milli, 8000);
    assert_int_equal(room.mem_mib, 990);
}

static void whole_gpus_are_taken_from_the_lowest_number(void **state)
{
    (void)state;
    struct weir_frag_room room = {.cpu_milli = 5000, .gpus = 4, .left_milli = {1000, 500, 1000, 1000}};
    weir_frag_take(&room, &pair, 0);
    assert_int_equal(room.left_milli[0], 0);
    assert_int_equal(room.left_milli[1], 500);
    assert_int_equal(room.left_milli[2], 0);
    assert_int_equal(room.left_milli[3], 1000);
    weir_frag_take(&room, &cpu_only, 0);
    assert_int_equal(room.cpu_milli, 2000);
    assert_int_equal(weir_frag_left(&room), 1500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_fits_by_cpu_memory_model_and_each_gpu),
        cmocka_unit_test(a_mix_keeps_the_most_frequent),
        cmocka_unit_test(fragments_are_what_each_request_cannot_use),
        cmocka_unit_test(both_measures_equal_their_definition_on_random_rooms),
        cmocka_unit_test(a_share_goes_where_it_spoils_nothing),
        cmocka_unit_test(whole_gpus_are_taken_from_the_lowest_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
