/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/client.h"

static pid_t pid;
static char url[64];
static struct weir_http_session *session;

void mock_start(const char *dialect, const char *const *options)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        const char *argv[32] = {"python3", MOCK_SERVER, "--dialect", dialect};
        size_t n = 4;
        for (; *options != NULL && n < 28; options++) {
            argv[n++] = "--option";
            argv[n++] = *options;
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)dup2(fds[1], 1);
        union {
            const char **in;
            char *const *out;
        } args = {.in = argv};
        (void)execvp(argv[0], args.out);
        _exit(127);
    }
    assert_true(pid > 0);
    (void)close(fds[1]);
    FILE *out = fdopen(fds[0], "r");
    char line[128] = "";
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof line, out));
    (void)fclose(out);
    const char *at = strstr(line, "http://");
    assert_non_null(at);
    (void)snprintf(url, sizeof url, "%.*s", (int)strcspn(at, "\n"), at);
    assert_int_equal(weir_http_session_new(&session, NULL), 0);
}

void mock_stop(void)
{
    weir_http_session_free(session);
    (void)kill(pid, SIGTERM);
    (void)waitpid(pid, NULL, 0);
}

const char *mock_url(void)
{
    return url;
}

static json_t *call(const char *method, const char *what, const char *json)
{
    char target[128];
    struct weir_http_reply reply;
    struct weir_err err = {""};
    (void)snprintf(target, sizeof target, "%s/_mock/%s", url, what);
    struct weir_http_call c = {.method = method, .url = target, .body = weir_sv_of(json), .timeout_ms = 10000, .reply_bytes_max = 4 << 20};
    (void)weir_http_session_call(session, &c, NULL, NULL, &reply, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(reply.status, 200);
    json_t *body = json_loadb(reply.body.p, reply.body.n, 0, NULL);
    assert_non_null(body);
    return body;
}

void mock_tell(const char *what, const char *json)
{
    json_decref(call("POST", what, json));
}

void mock_fault(const char *name, const char *on, int times, const char *more)
{
    char json[256];
    (void)snprintf(json, sizeof json, "{\"name\": \"%s\", \"times\": %d%s%s%s%s}", name, times, on != NULL ? ", \"on\": \"" : "",
                   on != NULL ? on : "", on != NULL ? "\"" : "", more);
    mock_tell("fault", json);
}

json_t *mock_inventory(void)
{
    return call("GET", "inventory", "");
}

int mock_alive(void)
{
    json_t *i = mock_inventory();
    int n = (int)json_integer_value(json_object_get(i, "alive"));
    json_decref(i);
    return n;
}

int mock_doubles(void)
{
    json_t *i = mock_inventory();
    int n = (int)json_object_size(json_object_get(i, "doubles"));
    json_decref(i);
    return n;
}
