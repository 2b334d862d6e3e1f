/* SPDX-License-Identifier: Apache-2.0 */
/* The API behind a real server, and calls to it. */

#include "api_fixture_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

const struct weir_wall fixture_now = AT(0);

/* ---- life ---- */

static struct weir_wall clock_wall(void *ctx)
{
    (void)ctx;
    return fixture_now;
}

static struct weir_mono clock_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){1000000};
}

void fixture_start(struct fixture *f)
{
    fixture_start_with(f, NULL);
}

void fixture_start_with(struct fixture *f, struct weir_store *store)
{
    struct weir_err err = {{0}};
    *f = (struct fixture){.clock = {clock_wall, clock_mono, NULL}};
    (void)pthread_mutex_init(&f->gpus_lock, NULL);
    f->gpus = weir_gpu_table_new();
    fixture_store_init(&f->store);
    fixture_service_start(&f->service, f->gpus);
    (void)snprintf(f->log_dir, sizeof f->log_dir, "/tmp/weir-api-test.XXXXXX");
    assert_non_null(mkdtemp(f->log_dir));
    static const struct weir_api_issuer issuers[] = {{"https://login.example.org", "weir", "weir-cli"}, {"https://ci.example.org", "weir", ""}};
    struct weir_api_conf conf = {.issuer = issuers,
                                 .n_issuers = WEIR_ARRAY_LEN(issuers),
                                 .service = &f->service.base,
                                 .reader = {store != NULL ? store : &f->store.base, store != NULL ? store : &f->store.base},
                                 .gpus = f->gpus,
                                 .gpus_lock = &f->gpus_lock,
                                 .clock = &f->clock,
                                 .log_dir = f->log_dir,
                                 .currency = "USD",
                                 .listen = "127.0.0.1:0",
                                 .os_user = "ada",
                                 .log_bytes_max = 4096,
                                 .ticket_key = FIXTURE_TICKET_KEY};
    assert_int_equal(weir_api_new(&f->api, &conf, &err), 0);
    struct weir_server_conf server = {.listen = "127.0.0.1:0",
                                      .body_bytes_max = 8 << 20,
                                      .connections_max = 64,
                                      .idle_timeout_s = 30,
                                      .handler = weir_api_handle,
                                      .ctx = f->api};
    assert_int_equal(weir_server_start(&f->server, &server, &err), 0);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u", weir_server_port(f->server));
    assert_int_equal(weir_http_session_new(&f->session, &err), 0);
}

void fixture_stop(struct fixture *f)
{
    char command[128];
    weir_http_session_free(f->session);
    weir_server_stop(f->server);
    weir_api_free(f->api);
    fixture_service_stop(&f->service);
    weir_gpu_table_free(f->gpus);
    for (int job = 0; job < 16; job++) {
        for (int i = 0; i < 16; i++) {
            (void)snprintf(command, sizeof command, "%s/%d/%d.%d.log", f->log_dir, job, i / 4, i % 4);
            (void)unlink(command);
            (void)snprintf(command, sizeof command, "%s/%d/%d.%d.1.log", f->log_dir, job, i / 4, i % 4);
            (void)unlink(command);
        }
        (void)snprintf(command, sizeof command, "%s/%d", f->log_dir, job);
        (void)rmdir(command);
    }
    (void)rmdir(f->log_dir);
}

/* ---- calls ---- */

int fixture_call(struct fixture *f, const char *method, const char *path, const char *token, const char *type,
                 struct weir_sv body, struct weir_http_reply *ret)
{
    char url[4096];
    struct weir_err err = {{0}};
    struct weir_http_header header = {"Content-Type", type};
    (void)snprintf(url, sizeof url, "%s%s", f->url, path);
    struct weir_http_call call = {.method = method,
                                  .url = url,
                                  .header = type == NULL ? NULL : &header,
                                  .n_headers = type == NULL ? 0 : 1,
                                  .body = body,
                                  .bearer = token,
                                  .timeout_ms = 10000,
                                  .reply_bytes_max = 8 << 20};
    int rc = weir_http_session_call(f->session, &call, NULL, NULL, ret, &err);
    if (rc < 0) {
        print_message("# %s %s: %s\n", method, path, err.text);
    }
    assert_int_equal(rc, 0);
    return ret->status;
}

int fixture_get(struct fixture *f, const char *path, struct weir_http_reply *ret)
{
    return fixture_call(f, "GET", path, NULL, NULL, (struct weir_sv){NULL, 0}, ret);
}

int fixture_post(struct fixture *f, const char *path, const char *body, struct weir_http_reply *ret)
{
    return fixture_call(f, "POST", path, NULL, body == NULL ? NULL : "application/json", weir_sv_of(body), ret);
}

void fixture_event(struct fixture *f, const char *kind, uint64_t job)
{
    (void)pthread_mutex_lock(&f->store.lock);
    struct weir_event_row *r = &f->store.event[f->store.n_events];
    *r = (struct weir_event_row){.id = f->store.n_events + 1,
                                 .at = fixture_now,
                                 .kind = kind,
                                 .job = {job},
                                 .ordinal = 1,
                                 .node = {1},
                                 .text = "text"};
    f->store.n_events++;
    (void)pthread_mutex_unlock(&f->store.lock);
    f->service.on_commit(f->service.on_commit_ctx);
}

void fixture_task(struct fixture *f, uint64_t job, enum weir_task_state state, uint32_t attempt)
{
    (void)pthread_mutex_lock(&f->store.lock);
    struct weir_task_row *r = NULL;
    for (size_t i = 0; i < f->store.n_tasks; i++) {
        r = f->store.task[i].view.id.job.v == job ? &f->store.task[i] : r;
    }
    if (r == NULL) {
        r = &f->store.task[f->store.n_tasks++];
        *r = (struct weir_task_row){.view = {.id = {{job}, 0}, .node = {1}, .n_nodes = 1}, .text = ""};
    }
    r->view.state = state;
    r->view.attempt = attempt;
    (void)pthread_mutex_unlock(&f->store.lock);
    f->service.on_commit(f->service.on_commit_ctx);
}

int fixture_connect(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(weir_server_port(f->server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval t = {.tv_sec = 10};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

void fixture_send(int fd, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

bool fixture_read_until(int fd, char *buf, size_t size, const char *text)
{
    size_t n = 0;
    buf[0] = '\0';
    while (n + 1 < size) {
        ssize_t got = recv(fd, buf + n, size - n - 1, 0);
        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
        buf[n] = '\0';
        if (strstr(buf, text) != NULL) {
            return true;
        }
    }
    return false;
}
