/* SPDX-License-Identifier: Apache-2.0 */
/* weir's own authority: kept, renewed, refused where broken; and a TLS round trip. */

#include "net_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "net/tls.h"

static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};
static const char *const more_names[] = {
    "localhost", "127.0.0.1", "::1", "broker.example.org", NULL};
static const struct weir_wall start = {INT64_C(1795376546) * WEIR_US_PER_S};

struct place {
    char dir[64];
};

static void place_make(struct place *p)
{
    (void)snprintf(p->dir, sizeof(p->dir), "/tmp/weir-tls-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
}

static const char *place_path(const struct place *p, const char *name, char buf[static 128])
{
    (void)snprintf(buf, 128, "%s/%s", p->dir, name);
    return buf;
}

static void place_remove(struct place *p)
{
    static const char *const all[] = {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "node.pem", "node-key.pem"};
    char buf[128];
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        (void)unlink(place_path(p, all[i], buf));
    }
    assert_int_equal(rmdir(p->dir), 0);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
    char buf[128];
    FILE *f = fopen(place_path(p, name, buf), "we");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void certificates_are_made_once_and_renewed(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    struct weir_tls_files a = {0}, b = {0};
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, NULL), 0);
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &b, NULL), 0);
    assert_string_equal(a.ca_pem, b.ca_pem);
    assert_string_equal(a.cert_pem, b.cert_pem);
    assert_string_equal(a.key_pem, b.key_pem);
    struct stat st;
    char buf[128];
    assert_int_equal(stat(place_path(&p, "ca-key.pem", buf), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(place_path(&p, "server-key.pem", buf), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(place_path(&p, "server.pem", buf), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    /* 334 days on, 31 are left: kept. 336 days on: made anew, by the same authority. */
    weir_tls_files_release(&b);
    struct weir_wall later = {start.us + 334 * WEIR_US_PER_DAY};
    assert_int_equal(weir_tls_ensure(p.dir, names, later, &b, NULL), 0);
    assert_string_equal(a.cert_pem, b.cert_pem);
    weir_tls_files_release(&b);
    later.us += 2 * WEIR_US_PER_DAY;
    assert_int_equal(weir_tls_ensure(p.dir, names, later, &b, NULL), 0);
    assert_string_not_equal(a.cert_pem, b.cert_pem);
    assert_string_equal(a.ca_pem, b.ca_pem);
    /* A name more: made anew. A clock set back: also. */
    struct weir_tls_files c = {0}, d = {0};
    assert_int_equal(weir_tls_ensure(p.dir, more_names, later, &c, NULL), 0);
    assert_string_not_equal(c.cert_pem, b.cert_pem);
    assert_int_equal(weir_tls_ensure(p.dir, names, later, &d, NULL), 0);
    assert_string_equal(c.cert_pem, d.cert_pem);
    weir_tls_files_release(&a);
    weir_tls_files_release(&b);
    weir_tls_files_release(&c);
    weir_tls_files_release(&d);
    place_remove(&p);
}

static void broken_files_are_named(void **state)
{
    (void)state;
    static const char *const all[] = {"ca.pem", "ca-key.pem", "server.pem", "server-key.pem"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(all); i++) {
        struct place p;
        place_make(&p);
        struct weir_tls_files a = {0};
        assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, NULL), 0);
        weir_tls_files_release(&a);
        put_text(
            &p, all[i], "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n");
        struct weir_err err = {""};
        assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, &err), -WEIR_ECORRUPT);
        assert_non_null(strstr(err.text, all[i]));
        put_text(&p, all[i], "");
        assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, &err), -WEIR_ECORRUPT);
        assert_null(a.ca_pem);
        place_remove(&p);
    }
}

static void a_lost_authority_key_is_not_papered_over(void **state)
{
    (void)state;
    struct place p;
    char buf[128];
    place_make(&p);
    struct weir_tls_files a = {0}, b = {0};
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, NULL), 0);
    /* The server's key can be made anew, the authority's cannot. */
    assert_int_equal(unlink(place_path(&p, "server-key.pem", buf)), 0);
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &b, NULL), 0);
    assert_string_not_equal(a.key_pem, b.key_pem);
    weir_tls_files_release(&a);
    assert_int_equal(unlink(place_path(&p, "ca-key.pem", buf)), 0);
    struct weir_err err = {""};
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, &err), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "ca-key.pem"));
    struct weir_wall much_later = {start.us + 4000 * WEIR_US_PER_DAY};
    assert_int_equal(unlink(place_path(&p, "ca.pem", buf)), 0);
    assert_int_equal(weir_tls_ensure(p.dir, names, start, &a, NULL), 0); /* a new authority */
    assert_string_not_equal(a.ca_pem, b.ca_pem);
    weir_tls_files_release(&a);
    assert_int_equal(weir_tls_ensure(p.dir, names, much_later, &a, &err), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "expired"));
    weir_tls_files_release(&b);
    place_remove(&p);
}

static int call_with_ca(const char *base, const char *ca_pem, struct weir_http_reply *reply)
{
    struct weir_http_session *s = NULL;
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    char url[128];
    (void)snprintf(url, sizeof(url), "%s/later", base);
    struct weir_http_call call = {.method = "POST",
                                  .url = url,
                                  .body = WEIR_SV("hello"),
                                  .ca_pem = ca_pem,
                                  .timeout_ms = 60000,
                                  .reply_bytes_max = 1000};
    int r = weir_http_session_call(s, &call, NULL, NULL, reply, NULL);
    if (r == 0) {
        assert_string_equal(reply->body.p, "hello");
    }
    weir_http_session_free(s);
    return r;
}

static void on_reply(void *ctx, const struct weir_http_reply *reply)
{
    *(int *)ctx = reply->code == 0 ? reply->status : reply->code;
}

/* Two authorities in one client: neither lends its trust to the other, in whatever order. */
static void call_async(const char *base, const char *good_pem, const char *bad_pem)
{
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct weir_http *h = weir_http_new(&loop);
    const char *const pem[] = {good_pem, bad_pem, good_pem, NULL};
    char url[128];
    (void)snprintf(url, sizeof(url), "%s/later", base);
    for (size_t i = 0; i < 4; i++) {
        int result = 0;
        struct weir_http_call call = {.method = "GET",
                                      .url = url,
                                      .ca_pem = pem[i],
                                      .timeout_ms = 60000,
                                      .reply_bytes_max = 100};
        assert_int_equal(h->ops->send(h, &call, on_reply, &result, NULL), 0);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(result, pem[i] == good_pem ? 200 : -WEIR_EUNAUTH);
    }
    h->ops->free(h);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void only_the_given_authority_is_trusted(void **state)
{
    (void)state;
    struct place p, q;
    place_make(&p);
    place_make(&q);
    struct weir_wall now;
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    now.us = t.tv_sec * WEIR_US_PER_S;
    struct weir_tls_files a = {0}, other = {0};
    assert_int_equal(weir_tls_ensure(p.dir, names, now, &a, NULL), 0);
    assert_int_equal(weir_tls_ensure(q.dir, names, now, &other, NULL), 0);
    static const char *const listen[] = {"127.0.0.1:0", "[::1]:0", ":0"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(listen); i++) {
        if (listen[i][0] == '[' && !has_ipv6()) {
            continue;
        }
        struct weir_server_conf conf = {.listen = listen[i],
                                        .tls_cert_pem = a.cert_pem,
                                        .tls_key_pem = a.key_pem,
                                        .body_bytes_max = 1000,
                                        .connections_max = 16,
                                        .idle_timeout_s = 30};
        struct fixture f;
        fixture_start(&f, &conf);
        struct weir_http_reply reply;
        assert_int_equal(call_with_ca(f.url, a.ca_pem, &reply), 0);
        assert_int_equal(call_with_ca(f.url, other.ca_pem, &reply), -WEIR_EUNAUTH);
        assert_int_equal(call_with_ca(f.url, NULL, &reply), -WEIR_EUNAUTH);
        call_async(f.url, a.ca_pem, other.ca_pem);
        fixture_stop(&f);
    }
    struct weir_server_conf mixed = {.listen = "127.0.0.1:0",
                                     .tls_cert_pem = a.cert_pem,
                                     .tls_key_pem = other.key_pem,
                                     .handler = (weir_server_fn *)(void (*)(void))abort,
                                     .idle_timeout_s = 1};
    struct weir_server *s = NULL;
    struct weir_err err = {""};
    assert_int_equal(weir_server_start(&s, &mixed, &err), -WEIR_ECONFIG);
    weir_tls_files_release(&a);
    weir_tls_files_release(&other);
    place_remove(&p);
    place_remove(&q);
}

/* ---- clients' certificates, and a server's that changes ---- */

static void ask_certificate(struct fixture *f, const char *ca_pem, const char *dir, const char *want)
{
    struct weir_http_session *s = NULL;
    struct weir_http_reply reply;
    char url[128], cert[256], key[256];
    assert_int_equal(weir_http_session_new(&s, NULL), 0);
    (void)snprintf(url, sizeof(url), "%s/certificate", f->url);
    (void)snprintf(cert, sizeof(cert), "%s/node.pem", dir == NULL ? "" : dir);
    (void)snprintf(key, sizeof(key), "%s/node-key.pem", dir == NULL ? "" : dir);
    struct weir_http_call call = {.method = "GET",
                                  .url = url,
                                  .ca_pem = ca_pem,
                                  .cert_file = dir == NULL ? NULL : cert,
                                  .key_file = dir == NULL ? NULL : key,
                                  .timeout_ms = 60000,
                                  .reply_bytes_max = 1000};
    struct weir_err err = {""};
    if (weir_http_session_call(s, &call, NULL, NULL, &reply, &err) != 0 || strstr(reply.body.p, want) == NULL) {
        fail_msg("wanted '%s', not '%s' %s", want, reply.body.p, err.text);
    }
    weir_http_session_free(s);
}

static void issue(const struct place *authority, const struct place *client, int64_t now_s, int64_t life_s, char key[WEIR_SHA256_HEX_SIZE])
{
    char *request = NULL, *pem = NULL;
    struct weir_wall ends;
    const struct weir_wall now = {now_s * WEIR_US_PER_S};
    assert_int_equal(weir_tls_request(client->dir, "node-key.pem", &request, NULL), 0);
    assert_int_equal(weir_tls_request_key(weir_sv_of(request), key, NULL), 0);
    assert_int_equal(weir_tls_issue(authority->dir, weir_sv_of(request), "host7", now, weir_dur_s(life_s), &pem, NULL), 0);
    assert_int_equal(weir_tls_ends(weir_sv_of(pem), &ends, NULL), 0);
    assert_int_equal(ends.us, (now_s + life_s) * WEIR_US_PER_S);
    assert_int_equal(weir_tls_write(client->dir, "node.pem", pem, NULL), 0);
    free(request);
    free(pem);
}

static void clients_are_known_by_their_certificates(void **state)
{
    (void)state;
    struct place p, q, client;
    struct timespec t;
    char key[WEIR_SHA256_HEX_SIZE], again[WEIR_SHA256_HEX_SIZE];
    (void)clock_gettime(CLOCK_REALTIME, &t);
    const struct weir_wall now = {t.tv_sec * WEIR_US_PER_S};
    struct weir_tls_files a = {0}, other = {0};
    place_make(&p);
    place_make(&q);
    place_make(&client);
    assert_int_equal(weir_tls_ensure(p.dir, names, now, &a, NULL), 0);
    assert_int_equal(weir_tls_ensure(q.dir, names, now, &other, NULL), 0);
    struct weir_server_conf conf = {.listen = "127.0.0.1:0", .tls_cert_pem = a.cert_pem, .tls_key_pem = a.key_pem, .client_ca_pem = a.ca_pem,
                                    .body_bytes_max = 1000, .connections_max = 16, .idle_timeout_s = 30};
    struct fixture f;
    fixture_start(&f, &conf);
    ask_certificate(&f, a.ca_pem, NULL, "none");
    issue(&p, &client, t.tv_sec, 60, key);
    ask_certificate(&f, a.ca_pem, client.dir, key);
    issue(&p, &client, t.tv_sec, 120, again); /* renewed, with the same key */
    assert_string_equal(key, again);
    ask_certificate(&f, a.ca_pem, client.dir, key);
    issue(&p, &client, t.tv_sec - 61, 60, key);
    ask_certificate(&f, a.ca_pem, client.dir, "expired");
    issue(&p, &client, t.tv_sec + 2 * 86400, 60, key);
    ask_certificate(&f, a.ca_pem, client.dir, "not valid yet");
    issue(&q, &client, t.tv_sec, 60, key);
    ask_certificate(&f, a.ca_pem, client.dir, "not one of this broker's");
    /* a server's certificate is of the authority, but not a client's */
    put_text(&client, "node.pem", a.cert_pem);
    put_text(&client, "node-key.pem", a.key_pem);
    ask_certificate(&f, a.ca_pem, client.dir, "not one of this broker's");
    fixture_stop(&f);
    conf.client_ca_pem = NULL;
    fixture_start(&f, &conf);
    ask_certificate(&f, a.ca_pem, client.dir, "none"); /* not asked for */
    /* what is shown changes while the server runs */
    struct weir_err err = {""};
    assert_int_equal(weir_server_set_certificate(f.server, WEIR_SERVER_OWN, a.cert_pem, other.key_pem, &err), -WEIR_ECONFIG);
    ask_certificate(&f, a.ca_pem, NULL, "none");
    assert_int_equal(weir_server_set_certificate(f.server, WEIR_SERVER_OUTWARD, other.cert_pem, other.key_pem, &err), 0);
    ask_certificate(&f, a.ca_pem, NULL, "none"); /* this is no outward connection */
    assert_int_equal(weir_server_set_certificate(f.server, WEIR_SERVER_OWN, other.cert_pem, other.key_pem, &err), 0);
    ask_certificate(&f, other.ca_pem, NULL, "none");
    fixture_stop(&f);
    weir_tls_files_release(&a);
    weir_tls_files_release(&other);
    place_remove(&p);
    place_remove(&q);
    place_remove(&client);
}

static void requests_that_are_none_are_refused(void **state)
{
    (void)state;
    struct place p;
    char key[WEIR_SHA256_HEX_SIZE];
    char *request = NULL;
    place_make(&p);
    assert_int_equal(weir_tls_request(p.dir, "node-key.pem", &request, NULL), 0);
    char *changed = strdup(request);
    size_t at = strlen(changed) / 2; /* within the key or what it signs */
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    const char *const rows[] = {"", "x", "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n", changed};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(weir_tls_request_key(weir_sv_of(rows[i]), key, NULL), -WEIR_EINVAL);
    }
    assert_int_equal(weir_tls_request_key((struct weir_sv){request, 65 * 1024}, key, NULL), -WEIR_EINVAL);
    put_text(&p, "node-key.pem", "no key");
    struct weir_err err = {""};
    char *none = NULL;
    assert_int_equal(weir_tls_request(p.dir, "node-key.pem", &none, &err), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "node-key.pem"));
    free(changed);
    free(request);
    place_remove(&p);
}

static void random_digits_differ(void **state)
{
    (void)state;
    char a[65], b[65];
    weir_random_hex(a, 32);
    weir_random_hex(b, 32);
    assert_int_equal(strlen(a), 64);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
    assert_string_not_equal(a, b);
    weir_random_hex(a, 1);
    assert_int_equal(strlen(a), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_made_once_and_renewed),
        cmocka_unit_test(broken_files_are_named),
        cmocka_unit_test(a_lost_authority_key_is_not_papered_over),
        cmocka_unit_test(only_the_given_authority_is_trusted),
        cmocka_unit_test(clients_are_known_by_their_certificates),
        cmocka_unit_test(requests_that_are_none_are_refused),
        cmocka_unit_test(random_digits_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
