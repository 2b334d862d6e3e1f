/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a provider, as weir doctor takes them. */

#include "clouds_priv.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mock.h"

/* All is well but for `bad`; NULL: all. */
static void assert_found(const struct look *l, const char *bad)
{
    bool is_there = bad == NULL;
    for (size_t i = 0; i < l->n; i++) {
        const struct weir_check *c = &l->check[i];
        bool is_bad = bad != NULL && weir_streq(c->name, bad);
        if (c->verdict == WEIR_CHECK_UNKNOWN ? strncmp(c->text, "not checked: ", 13) != 0 : c->verdict != (is_bad ? WEIR_CHECK_FAILED : WEIR_CHECK_OK)) {
            fail_msg("%s: verdict %d: %s", c->name, (int)c->verdict, c->text);
        }
        assert_true(c->text[0] != '\0');
        assert_int_equal(c->remedy[0] != '\0', is_bad);
        is_there = is_there || is_bad;
    }
    assert_true(is_there);
}

void clouds_a_look_finds_what_is_wrong(void **state)
{
    (void)state;
    struct rig *g = clouds_begin();
    struct look l = rig_look(g);
    assert_found(&l, NULL);
    assert_int_equal(mock_alive(), 0);
    struct answer a = rig_launch(g, clouds_token());
    (void)rig_await(g, a.inst[0].id, WEIR_INSTANCE_RUNNING, false);
    l = rig_look(g);
    assert_found(&l, NULL);
    assert_int_equal(mock_alive(), 1);
    mock_fault("lost_request", NULL, -1, "");
    l = rig_look(g);
    assert_found(&l, "endpoint");
    clouds_clear();
    mock_fault("server_error", NULL, -1, ", \"status\": 503");
    l = rig_look(g);
    assert_found(&l, "endpoint");
    clouds_clear();
    mock_tell("set", "{\"skew_s\": -600}");
    l = rig_look(g);
    assert_found(&l, "clock");
    mock_tell("set", "{\"skew_s\": 0}");
    assert_int_equal(rig_terminate(g, a.inst[0].id).r.class, WEIR_PROVIDER_OK);
    clouds_end(g);
}

void clouds_a_look_names_what_is_missing(void **state)
{
    (void)state;
    if (clouds_subject->denied == NULL) {
        return;
    }
    struct rig *g = clouds_begin();
    char set[128];
    bool is_named = false;
    (void)snprintf(set, sizeof set, "{\"denied\": [\"%s\"]}", clouds_subject->denied);
    mock_tell("set", set);
    if (clouds_subject->keys_expire) { /* what is denied shows with the next */
        mock_fault("expired_credential", NULL, 1, "");
    }
    struct look l = rig_look(g);
    for (size_t i = 0; i < l.n; i++) {
        const struct weir_check *c = &l.check[i];
        is_named = is_named || (c->verdict == WEIR_CHECK_FAILED && strstr(c->text, clouds_subject->missing) != NULL && c->remedy[0] != '\0');
        assert_true(c->verdict != WEIR_CHECK_FAILED || strstr(c->text, clouds_subject->missing) != NULL);
    }
    assert_true(is_named);
    assert_int_equal(mock_alive(), 0);
    mock_tell("set", "{\"denied\": []}");
    clouds_end(g);
}
