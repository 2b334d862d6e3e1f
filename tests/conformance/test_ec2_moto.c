/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EC2's driver against moto, an independent imitation of AWS that verifies signatures. Run by moto.py, which starts the server, makes a
 * user with a key and a role, and says so in the environment: MOTO_URL, MOTO_KEY, MOTO_SECRET, MOTO_ROLE, MOTO_ROLE_NARROW (may look, and nothing else).
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/ec2/ec2.h"
#include "cloud/ec2/sigv4.h"
#include "conformance.h"
#include "net/client.h"
#include "net/digest.h"
#include "rig.h"

static const char *secret; /* what the driver finds in its environment */

static const char *environment(const char *name)
{
    return weir_streq(name, "AWS_ACCESS_KEY_ID")       ? getenv("MOTO_KEY")
           : weir_streq(name, "AWS_SECRET_ACCESS_KEY") ? secret
                                                       : NULL;
}

static const char *conf(const char *more)
{
    static char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"endpoint\": \"%s\", \"regions\": [\"us-east-1\"], \"image\": \"ami-12c6146b\", \"agent\": \"/usr/bin/weir\", \"page_size\": 5%s}",
                   getenv("MOTO_URL"), more);
    return text;
}

static void start_with(const char *its_secret)
{
    secret = its_secret;
}

static void a_machine_is_launched_found_and_ended(void **state)
{
    (void)state;
    start_with(getenv("MOTO_SECRET"));
    struct rig *g = rig_new(conf(""));
    assert_true(g->on_demand.id != 0 && g->spot.id != 0);
    assert_string_equal(g->spot.source, "a list"); /* moto's spot prices are a ten-thousandth of the list's: not believed */
    const struct weir_offer *offers[] = {&g->on_demand, &g->spot};
    for (size_t i = 0; i < 2; i++) {
        const char *token = i == 0 ? "me-own" : "me-spot";
        struct answer a = rig_launch_with(g, token, offers[i], 600);
        assert_string_equal(a.r.text, "");
        assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
        assert_string_equal(a.inst[0].token, token);
        assert_true(a.inst[0].launched.us > 0);
        (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
        assert_string_equal(rig_describe(g, token, NULL).inst[0].id, a.inst[0].id);
        assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
        struct weir_instance gone = rig_await(g, a.inst[0].id, WEIR_INSTANCE_GONE, false);
        assert_false(gone.reclaimed);
        assert_true(gone.ended.us >= gone.launched.us);
        assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    }
    assert_int_equal(rig_describe(g, "me-never", NULL).r.n_instances, 0);
    assert_int_equal(rig_describe(g, NULL, "us-east-1/i-0123456789abcdef0").r.n_instances, 0);
    assert_int_equal(rig_terminate(g, "us-east-1/i-0123456789abcdef0").r.class, WEIR_PROVIDER_OK);
    rig_free(g);
}

static void a_list_has_pages_and_only_our_machines(void **state)
{
    (void)state;
    start_with(getenv("MOTO_SECRET"));
    struct rig *g = rig_new(conf(""));
    char token[16];
    for (int i = 0; i < 7; i++) {
        (void)snprintf(token, sizeof token, "me-%d", i);
        assert_int_equal(rig_launch(g, token).r.class, WEIR_PROVIDER_OK);
    }
    g->env.owner = "somebody-else";
    assert_int_equal(rig_launch(g, "else-1").r.class, WEIR_PROVIDER_OK);
    struct answer theirs = rig_list(g, NULL);
    g->env.owner = "me";
    size_t n = 0;
    size_t pages = 0;
    char page[WEIR_INSTANCE_ID_SIZE] = "";
    do {
        struct answer a = rig_list(g, page[0] == '\0' ? NULL : page);
        for (size_t i = 0; i < a.r.n_instances; i++) {
            assert_memory_equal(a.inst[i].token, "me-", 3);
        }
        n += a.r.n_instances;
        pages++;
        (void)snprintf(page, sizeof page, "%s", a.next_page);
    } while (page[0] != '\0' && pages < 10);
    assert_int_equal(n, 7);
    assert_true(pages > 1);
    assert_int_equal(theirs.r.n_instances, 1);
    (void)rig_terminate(g, theirs.inst[0].id);
    rig_free(g);
}

static void a_role_is_assumed(void **state)
{
    (void)state;
    char more[256];
    start_with(getenv("MOTO_SECRET"));
    (void)snprintf(more, sizeof more, ", \"role_arn\": \"%s\"", getenv("MOTO_ROLE"));
    struct rig *g = rig_new(conf(more));
    assert_int_equal(rig_launch(g, "me-role").r.class, WEIR_PROVIDER_OK);
    rig_free(g);
}

static void an_image_is_found_by_its_parameter(void **state)
{
    (void)state;
    char text[1024];
    start_with(getenv("MOTO_SECRET"));
    (void)snprintf(text, sizeof text, "{\"endpoint\": \"%s\", \"regions\": [\"us-east-1\"], \"image\": \"ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64\", \"agent\": \"/usr/bin/weir\"}",
                   getenv("MOTO_URL"));
    struct rig *g = rig_new(text);
    struct answer a = rig_launch(g, "me-image");
    assert_string_equal(a.r.text, "");
    assert_int_equal(a.r.class, WEIR_PROVIDER_OK);
    rig_free(g);
}

static void a_wrong_secret_is_refused(void **state)
{
    (void)state;
    start_with("a-secret-that-is-not-the-right-one-at-all");
    struct rig *g = rig_new(conf(""));
    struct answer a = rig_launch(g, "me-wrong");
    assert_int_equal(a.r.class, WEIR_PROVIDER_REFUSED);
    assert_non_null(strstr(a.r.text, "AuthFailure"));
    assert_null(strstr(a.r.text, secret));
    rig_close(g);
    start_with(getenv("MOTO_SECRET"));
    rig_open(g, conf(""));
    assert_int_equal(rig_list(g, NULL).r.n_instances, 0);
    rig_free(g);
}

/* The status and the beginning of the body of a call that is signed for a store of objects, with a wrong secret where that is asked. */
static int64_t ask_s3(const char *method, const char *path, const char *body, bool wrong, char ret[static 256])
{
    char url[512];
    char sum[WEIR_SHA256_HEX_SIZE];
    struct weir_err err = {""};
    struct weir_sigv4_key key = {{0}};
    (void)snprintf(url, sizeof url, "%s%s", getenv("MOTO_URL"), path);
    (void)snprintf(key.id, sizeof key.id, "%s", getenv("MOTO_KEY"));
    (void)snprintf(key.secret, sizeof key.secret, "%s", wrong ? "a-secret-that-is-not-the-right-one-at-all" : getenv("MOTO_SECRET"));
    weir_sha256_hex(weir_sv_of(body), sum);
    struct weir_http_header header[WEIR_CLOUD_HEADERS_MAX] = {{"X-Amz-Content-Sha256", sum}};
    struct weir_http_call call = {.method = method, .url = url, .header = header, .n_headers = 1, .body = weir_sv_of(body), .timeout_ms = 20000, .reply_bytes_max = 1 << 16};
    struct weir_arena arena = {0};
    struct weir_cloud_headers more = {.arena = &arena};
    assert_int_equal(weir_sigv4_sign(&key, "us-east-1", "s3", &call, weir_clock_wall(&weir_clock_os), &more, &err), 0);
    for (size_t i = 0; i < more.n; i++) {
        header[call.n_headers++] = more.header[i];
    }
    struct weir_http_session *s = NULL;
    struct weir_http_reply reply;
    assert_int_equal(weir_http_session_new(&s, &err), 0);
    int r = weir_http_session_call(s, &call, NULL, NULL, &reply, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    (void)snprintf(ret, 256, "%.*s", WEIR_SV_ARG(reply.body));
    int64_t status = reply.status;
    weir_http_session_free(s);
    weir_arena_release(&arena);
    return status;
}

static void a_store_of_objects_takes_what_is_signed(void **state)
{
    (void)state;
    char got[256];
    assert_int_equal(ask_s3("PUT", "/weir-checkpoints", "", false, got), 200);
    assert_int_equal(ask_s3("PUT", "/weir-checkpoints/job-1/step-2", "a checkpoint", false, got), 200);
    assert_int_equal(ask_s3("GET", "/weir-checkpoints/job-1/step-2", "", false, got), 200);
    assert_string_equal(got, "a checkpoint");
    assert_int_equal(ask_s3("GET", "/weir-checkpoints?list-type=2&prefix=job-1&max-keys=10", "", false, got), 200);
    assert_int_equal(ask_s3("GET", "/weir-checkpoints/job-1/step-2", "", true, got), 403);
    assert_non_null(strstr(got, "SignatureDoesNotMatch"));
    assert_int_equal(ask_s3("DELETE", "/weir-checkpoints/job-1/step-2", "", true, got), 403);
    assert_int_equal(ask_s3("GET", "/weir-checkpoints/job-1/step-2", "", false, got), 200);
}

static const struct weir_check *find_check(const struct look *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (weir_streq(l->check[i].name, name)) {
            return &l->check[i];
        }
    }
    fail_msg("no check '%s'", name);
    return NULL;
}

static void a_look_makes_nothing_and_names_what_is_missing(void **state)
{
    (void)state;
    char more[256];
    start_with(getenv("MOTO_SECRET"));
    struct rig *g = rig_new(conf(""));
    struct answer a = rig_launch(g, "me-look");
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    struct look l = rig_look(g);
    for (size_t i = 0; i < l.n; i++) {
        assert_string_equal(l.check[i].remedy, "");
        assert_int_equal(l.check[i].verdict, WEIR_CHECK_OK);
    }
    assert_non_null(strstr(find_check(&l, "launch")->text, "would be allowed"));
    assert_non_null(strstr(find_check(&l, "terminate")->text, "would be allowed"));
    assert_int_equal(rig_list(g, NULL).r.n_instances, 1);
    rig_close(g);
    (void)snprintf(more, sizeof more, ", \"role_arn\": \"%s\"", getenv("MOTO_ROLE_NARROW")); /* may look, and nothing else */
    rig_open(g, conf(more));
    l = rig_look(g);
    assert_int_equal(find_check(&l, "image")->verdict, WEIR_CHECK_OK);
    assert_int_equal(find_check(&l, "launch")->verdict, WEIR_CHECK_FAILED);
    assert_non_null(strstr(find_check(&l, "launch")->remedy, "allow ec2:RunInstances "));
    assert_int_equal(find_check(&l, "terminate")->verdict, WEIR_CHECK_FAILED);
    assert_non_null(strstr(find_check(&l, "terminate")->remedy, "allow ec2:TerminateInstances "));
    rig_close(g);
    start_with("a-secret-that-is-not-the-right-one-at-all");
    rig_open(g, conf(""));
    l = rig_look(g);
    assert_int_equal(find_check(&l, "credentials")->verdict, WEIR_CHECK_FAILED);
    rig_close(g);
    start_with(getenv("MOTO_SECRET"));
    rig_open(g, conf(""));
    rig_free(g);
}

static void nothing_to_clear(void)
{
}

int main(void)
{
    static const struct weir_conformance_subject subject = {.name = "ec2-moto", .ops = &weir_ec2_provider, .self_exe = "/proc/self/exe",
                                                            .getenv = environment, .region = "us-east-1", .type = "g6.xlarge", .gpu = "L4", .gpus = 1,
                                                            .clear = nothing_to_clear};
    rig_subject = &subject;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_is_launched_found_and_ended),
        cmocka_unit_test(a_list_has_pages_and_only_our_machines),
        cmocka_unit_test(a_role_is_assumed),
        cmocka_unit_test(an_image_is_found_by_its_parameter),
        cmocka_unit_test(a_wrong_secret_is_refused),
        cmocka_unit_test(a_store_of_objects_takes_what_is_signed),
        cmocka_unit_test(a_look_makes_nothing_and_names_what_is_missing),
    };
    return cmocka_run_group_tests_name("ec2-moto", tests, NULL, NULL);
}
