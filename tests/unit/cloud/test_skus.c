/* SPDX-License-Identifier: Apache-2.0 */
/* Prices of machine types, put together from a recorded piece of Google's price list. */

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cloud/gce/skus.h"

struct told {
    int n;
    char text[2][200];
};

static void on_refused(void *ctx, const char *text)
{
    struct told *t = ctx;
    (void)snprintf(t->text[t->n % 2], sizeof t->text[0], "%s", text);
    t->n++;
}

static json_t *load(void)
{
    json_error_t why;
    json_t *feed = json_load_file(FEEDS "/gcp-skus.json", 0, &why);
    assert_non_null(feed);
    return feed;
}

static struct gce_skus *read_feed(struct told *told)
{
    struct gce_skus *s = gce_skus_new();
    json_t *feed = load();
    struct weir_err err = {""};
    gce_skus_begin(s);
    assert_int_equal(gce_skus_read(s, feed, on_refused, told, &err), 0);
    gce_skus_end(s);
    json_decref(feed);
    return s;
}

static void types_cost_the_sum_of_their_parts(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        const char *region;
        bool spot;
        uint32_t cpus;
        uint64_t gib;
        uint32_t gpus;
        int64_t want;
    } rows[] = {
        {"a2-highgpu-1g", "us-central1", false, 12, 85, 1, 3673477}, /* 12 x 0.031611 + 85 x 0.004237 + 2.934 */
        {"a2-highgpu-8g", "us-central1", false, 96, 680, 8, 29387816},
        {"g2-standard-48", "us-central1", false, 48, 192, 4, 4001600},
        {"g2-standard-48", "europe-west4", false, 48, 192, 4, 4001600}, /* one rate for several regions */
        {"g2-standard-48", "us-central1", true, 48, 192, 4, 1600640},
        {"a2-ultragpu-1g", "us-central1", false, 12, 170, 1, 5068788}, /* with 375 GiB of local disk at 0.08 a month */
        {"a2-highgpu-1g", "asia-east1", false, 12, 85, 1, -1},    /* not sold there */
        {"a2-highgpu-1g", "us-central1", true, 12, 85, 1, -1},    /* its GPU's rate is zero */
        {"a3-highgpu-8g", "us-central1", false, 208, 1872, 8, -1}, /* its GPU's rate is in another currency */
        {"a3-highgpu-1g", "us-central1", false, 26, 234, 1, -1},  /* not put together so */
        {"n1-standard-8", "us-central1", false, 8, 30, 0, -1},
    };
    struct told told = {0};
    struct gce_skus *s = read_feed(&told);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct weir_wall since;
        int64_t price = gce_skus_price(s, rows[i].type, weir_sv_of(rows[i].region), rows[i].spot, rows[i].cpus, rows[i].gib << 10, rows[i].gpus, &since);
        if (llabs(price - rows[i].want) > 1) {
            fail_msg("%s in %s: %lld", rows[i].type, rows[i].region, (long long)price);
        }
    }
    gce_skus_free(s);
}

static void rates_that_cannot_be_are_refused_and_told(void **state)
{
    (void)state;
    struct told told = {0};
    gce_skus_free(read_feed(&told));
    assert_int_equal(told.n, 2);
    assert_string_equal(told.text[0], "'Nvidia Tesla A100 GPU attached to Spot Preemptible VMs running in Americas' has no price");
    assert_string_equal(told.text[1], "'Nvidia H100 80GB GPU running in Americas' is not in USD");
}

static void a_reading_that_failed_leaves_the_last_one(void **state)
{
    (void)state;
    struct told told = {0};
    struct gce_skus *s = read_feed(&told);
    struct weir_err err = {""};
    json_t *odd = json_loads("{\"error\": {}}", 0, NULL);
    gce_skus_begin(s);
    assert_int_equal(gce_skus_read(s, odd, on_refused, &told, &err), -WEIR_EIO);
    struct weir_wall since;
    gce_skus_begin(s);
    assert_int_equal(gce_skus_price(s, "g2-standard-48", WEIR_SV("us-central1"), false, 48, 192 << 10, 4, &since), 4001600);
    json_decref(odd);
    gce_skus_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_cost_the_sum_of_their_parts),
        cmocka_unit_test(rates_that_cannot_be_are_refused_and_told),
        cmocka_unit_test(a_reading_that_failed_leaves_the_last_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
