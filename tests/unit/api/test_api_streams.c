/* SPDX-License-Identifier: Apache-2.0 */
/* Log upload, log reading and the streams that follow something. */

#include "api_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int upload_from(struct fixture *f, unsigned node, const char *run, uint64_t offset, const char *text,
                       struct weir_http_reply *reply)
{
    char path[256];
    (void)snprintf(path, sizeof path, "/v1/agent/log?node=%u&session=s1&%s&offset=%llu", node, run,
                   (unsigned long long)offset);
    return fixture_call(f, "POST", path, "agent-token", "application/octet-stream", weir_sv_of(text), reply);
}

static int upload(struct fixture *f, const char *run, uint64_t offset, const char *text, struct weir_http_reply *reply)
{
    return upload_from(f, 1, run, offset, text, reply);
}

static void log_pieces_are_stored_once_and_in_order(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    static const struct {
        uint64_t offset;
        const char *text;
        int status;
        const char *want;
    } rows[] = {
        {5, "late", 409, "{\"size\":0,\"truncated\":false,"},
        {0, "", 200, "{\"size\":0,"},
        {0, "one ", 200, "{\"size\":4,"},
        {0, "one ", 200, "{\"size\":4,"},
        {2, "e two ", 200, "{\"size\":8,"},
        {9, "x", 409, "{\"size\":8,"},
        {8, "three", 200, "{\"size\":13,"},
        {3, "ignored", 200, "{\"size\":13,"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(upload(f, "job=12&ordinal=0&attempt=1", rows[i].offset, rows[i].text, &reply), rows[i].status);
        assert_memory_equal(reply.body.p, rows[i].want, strlen(rows[i].want));
    }
    assert_int_equal(fixture_get(f, "/v1/jobs/12/log?task=0", &reply), 200);
    assert_string_equal(reply.body.p, "one two three");
    assert_int_equal(fixture_get(f, "/v1/jobs/12/log?task=0&offset=8", &reply), 200);
    assert_string_equal(reply.body.p, "three");
    assert_int_equal(fixture_get(f, "/v1/jobs/12/log?task=0&offset=1000", &reply), 200);
    assert_int_equal(reply.body.n, 0);
    struct stat st;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/12/0.1.log", f->log_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_ranks_of_a_gang_have_their_own_logs(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(upload(f, "job=15&ordinal=0&attempt=1", 0, "rank 0", &reply), 200);
    assert_int_equal(upload_from(f, 1003, "job=15&ordinal=0&attempt=1&rank=1", 0, "rank 1", &reply), 200);
    assert_int_equal(fixture_get(f, "/v1/jobs/15/log", &reply), 200);
    assert_string_equal(reply.body.p, "rank 0");
    assert_int_equal(fixture_get(f, "/v1/jobs/15/log?rank=1", &reply), 200);
    assert_string_equal(reply.body.p, "rank 1");
}

static void an_agent_writes_the_logs_of_its_own_runs_only(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    static const struct {
        const char *run;
        int status;
    } rows[] = {
        {"job=12&ordinal=0&attempt=1", 200},
        {"job=12&ordinal=0&attempt=1&rank=1", 404}, /* there is one rank */
        {"job=12&ordinal=0&attempt=2", 403},        /* it has not been placed */
        {"job=12&ordinal=2&attempt=2", 200},
        {"job=12&ordinal=2&attempt=1", 404}, /* an earlier attempt: nothing shows that it was there */
        {"job=12&ordinal=7&attempt=1", 403}, /* it waits */
        {"job=15&ordinal=0&attempt=1&rank=1", 403}, /* on node 1003 */
        {"job=99&ordinal=0&attempt=1", 403},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        assert_int_equal(upload(f, rows[i].run, 0, "", &reply), rows[i].status);
    }
    assert_int_equal(upload_from(f, 1003, "job=12&ordinal=2&attempt=1", 0, "", &reply), 404);
    assert_non_null(strstr(reply.body.p, "nothing shows that rank 0 of attempt 1 of task 12.2 was on node 1003"));
}

/* As an agent has it that was told to start the rank of the gang, job 15, on the node. */
static const char *gang_run(unsigned attempt, unsigned rank, unsigned ticket_attempt, unsigned ticket_rank, unsigned ticket_node)
{
    static char text[160];
    char ticket[WEIR_LOG_TICKET_SIZE];
    const struct weir_run_id run = {{{15}, 0}, ticket_attempt};
    weir_api_log_ticket(FIXTURE_TICKET_KEY, run, ticket_rank, (struct weir_node_id){ticket_node}, ticket);
    (void)snprintf(text, sizeof text, "job=15&ordinal=0&attempt=%u&rank=%u&ticket=%s", attempt, rank, ticket);
    return text;
}

/* Rank 0 is on node 1, rank 1 on node 1003, in attempt 1 that is over as in attempt 2 that runs. */
static void a_rank_of_a_gang_writes_no_other_ranks_log(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    static const uint64_t offset[] = {0, 3, 6, 7, 1 << 20, INT64_MAX};
    f->store.task[4].view.attempt = 2;
    for (unsigned attempt = 1; attempt <= 2; attempt++) {
        assert_int_equal(upload_from(f, 1, gang_run(attempt, 0, attempt, 0, 1), 0, "rank 0", &reply), 200);
        int refused = attempt == 1 ? 404 : 403;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(offset); i++) {
            char bare[64];
            (void)snprintf(bare, sizeof bare, "job=15&ordinal=0&attempt=%u&rank=0", attempt);
            assert_int_equal(upload_from(f, 1003, bare, offset[i], "forged", &reply), refused);
            /* its own ticket; that of the other attempt; one that is good on the other node */
            assert_int_equal(upload_from(f, 1003, gang_run(attempt, 0, attempt, 1, 1003), offset[i], "forged", &reply), refused);
            assert_int_equal(upload_from(f, 1003, gang_run(attempt, 0, 3 - attempt, 1, 1003), offset[i], "forged", &reply), refused);
            assert_int_equal(upload_from(f, 1003, gang_run(attempt, 0, attempt, 0, 1), offset[i], "forged", &reply), refused);
        }
        char path[64];
        (void)snprintf(path, sizeof path, "/v1/jobs/15/log?attempt=%u", attempt);
        assert_int_equal(fixture_get(f, path, &reply), 200);
        assert_string_equal(reply.body.p, "rank 0");
    }
}

static void a_ticket_is_good_whatever_becomes_of_the_task(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    struct weir_task_view *gang = &f->store.task[4].view;
    assert_int_equal(gang->id.job.v, 15);
    /* it waits for another start, with no place of its own; later it runs elsewhere; at last it is over */
    *gang = (struct weir_task_view){.id = gang->id, .attempt = 3, .state = WEIR_TASK_WAITING};
    assert_int_equal(upload_from(f, 1003, gang_run(3, 1, 3, 1, 1003), 0, "one ", &reply), 200);
    *gang = (struct weir_task_view){.id = gang->id, .attempt = 4, .state = WEIR_TASK_RUNNING, .node = {1}, .n_nodes = 1};
    assert_int_equal(upload_from(f, 1003, gang_run(3, 1, 3, 1, 1003), 4, "two ", &reply), 200);
    *gang = (struct weir_task_view){.id = gang->id, .attempt = 7, .state = WEIR_TASK_FAILED, .node = {1}, .n_nodes = 1};
    assert_int_equal(upload_from(f, 1003, gang_run(3, 1, 3, 1, 1003), 8, "three", &reply), 200);
    assert_int_equal(fixture_get(f, "/v1/jobs/15/log?rank=1&attempt=3", &reply), 200);
    assert_string_equal(reply.body.p, "one two three");
    /* without it there is no telling */
    assert_int_equal(upload_from(f, 1003, "job=15&ordinal=0&attempt=3&rank=1", 0, "", &reply), 404);
    assert_int_equal(upload_from(f, 1003, "job=15&ordinal=0&attempt=3&rank=1&ticket=", 0, "", &reply), 400);
    assert_int_equal(upload_from(f, 1003, "job=15&ordinal=0&attempt=3&rank=1&ticket=0", 0, "", &reply), 404);
}

static void a_log_over_the_limit_ends_with_a_notice(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    char piece[3001];
    memset(piece, 'a', 3000);
    piece[3000] = '\0';
    assert_int_equal(upload(f, "job=13&ordinal=0&attempt=1", 0, piece, &reply), 200);
    assert_int_equal(upload(f, "job=13&ordinal=0&attempt=1", 3000, piece, &reply), 200);
    assert_string_equal(reply.body.p, "{\"size\":6000,\"truncated\":true}");
    assert_int_equal(upload(f, "job=13&ordinal=0&attempt=1", 6000, "more", &reply), 200);
    assert_string_equal(reply.body.p, "{\"size\":6004,\"truncated\":true}");
    assert_int_equal(fixture_get(f, "/v1/jobs/13/log?offset=4096", &reply), 200);
    assert_string_equal(reply.body.p,
                        "\n[weir: the log's limit of 4096 bytes is reached; what comes after is not kept]\n");
}

static void a_log_of_a_waiting_task_is_empty(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    assert_int_equal(fixture_get(f, "/v1/jobs/14/log", &reply), 200);
    assert_int_equal(reply.body.n, 0);
    assert_int_equal(fixture_get(f, "/v1/jobs/12/log?task=50", &reply), 200);
    assert_int_equal(reply.body.n, 0);
    assert_int_equal(fixture_get(f, "/v1/jobs/12/log?task=2&attempt=1", &reply), 200);
    assert_int_equal(reply.body.n, 0);
}

static int open_stream(struct fixture *f, const char *path)
{
    char text[256];
    int fd = fixture_connect(f);
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    fixture_send(fd, text);
    return fd;
}

static void following_a_log_goes_through_all_attempts(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    char buf[8192];
    int fd = open_stream(f, "/v1/jobs/14/log?follow=true");
    assert_true(fixture_read_until(fd, buf, sizeof buf, "HTTP/1.1 200"));
    fixture_task(f, 14, WEIR_TASK_RUNNING, 1);
    assert_int_equal(upload(f, "job=14&ordinal=0&attempt=1", 0, "first", &reply), 200);
    assert_true(fixture_read_until(fd, buf, sizeof buf, "first"));
    fixture_task(f, 14, WEIR_TASK_WAITING, 1);
    fixture_task(f, 14, WEIR_TASK_RUNNING, 2);
    assert_int_equal(upload(f, "job=14&ordinal=0&attempt=2", 0, "second", &reply), 200);
    assert_true(fixture_read_until(fd, buf, sizeof buf, "second"));
    assert_int_equal(upload(f, "job=14&ordinal=0&attempt=2", 6, " end", &reply), 200);
    fixture_task(f, 14, WEIR_TASK_SUCCEEDED, 2);
    assert_true(fixture_read_until(fd, buf, sizeof buf, "0\r\n\r\n"));
    assert_non_null(strstr(buf, " end"));
    (void)close(fd);
}

static void following_one_attempt_ends_with_it(void **state)
{
    struct fixture *f = *state;
    char buf[4096];
    int fd = open_stream(f, "/v1/jobs/14/log?follow=true&attempt=1");
    assert_true(fixture_read_until(fd, buf, sizeof buf, "0\r\n\r\n"));
    assert_non_null(strstr(buf, "first"));
    assert_null(strstr(buf, "second"));
    (void)close(fd);
    fd = open_stream(f, "/v1/jobs/14/log?follow=true");
    assert_true(fixture_read_until(fd, buf, sizeof buf, "0\r\n\r\n"));
    assert_non_null(strstr(buf, "second end"));
    (void)close(fd);
}

static void a_follower_that_goes_away_is_forgotten(void **state)
{
    struct fixture *f = *state;
    char buf[1024];
    for (int i = 0; i < 20; i++) {
        int fd =
            open_stream(f, i % 2 == 0 ? "/v1/events?follow=true&after=1000" : "/v1/jobs/12/log?task=2&follow=true");
        assert_true(fixture_read_until(fd, buf, sizeof buf, "HTTP/1.1 200"));
        (void)close(fd);
        fixture_task(f, 12, WEIR_TASK_RUNNING, 2);
    }
}

static void events_are_listed_with_a_cursor_and_streamed_as_lines(void **state)
{
    struct fixture *f = *state;
    struct weir_http_reply reply;
    char buf[4096];
    fixture_event(f, "task.started", 12);
    fixture_event(f, "task.ended", 12);
    assert_int_equal(fixture_get(f, "/v1/events?limit=1", &reply), 200);
    assert_string_equal(reply.body.p, "{\"items\":[{\"id\":1,\"at\":\"2026-11-22T20:00:00Z\",\"kind\":\"task.started\","
                                      "\"job\":12,\"ordinal\":1,\"index\":1,\"node\":\"host1\","
                                      "\"lease\":null,\"text\":\"text\"}],\"next\":\"1\"}");
    assert_int_equal(fixture_get(f, "/v1/events?cursor=1&job=12", &reply), 200);
    assert_non_null(strstr(reply.body.p, "\"task.ended\""));
    assert_non_null(strstr(reply.body.p, "\"next\":null"));
    int fd = open_stream(f, "/v1/events?follow=true&after=1&job=12");
    assert_true(fixture_read_until(fd, buf, sizeof buf, "task.ended"));
    assert_non_null(strstr(buf, "application/x-ndjson"));
    fixture_event(f, "job.other", 13);
    fixture_event(f, "job.ended", 12);
    assert_true(fixture_read_until(fd, buf, sizeof buf, "job.ended"));
    assert_null(strstr(buf, "job.other"));
    (void)close(fd);
}

static int start(void **state)
{
    struct fixture *f = malloc(sizeof *f);
    fixture_start(f);
    *state = f;
    return 0;
}

static int stop(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_pieces_are_stored_once_and_in_order),
        cmocka_unit_test(the_ranks_of_a_gang_have_their_own_logs),
        cmocka_unit_test(an_agent_writes_the_logs_of_its_own_runs_only),
        cmocka_unit_test(a_rank_of_a_gang_writes_no_other_ranks_log),
        cmocka_unit_test(a_ticket_is_good_whatever_becomes_of_the_task),
        cmocka_unit_test(a_log_over_the_limit_ends_with_a_notice),
        cmocka_unit_test(a_log_of_a_waiting_task_is_empty),
        cmocka_unit_test(following_a_log_goes_through_all_attempts),
        cmocka_unit_test(following_one_attempt_ends_with_it),
        cmocka_unit_test(a_follower_that_goes_away_is_forgotten),
        cmocka_unit_test(events_are_listed_with_a_cursor_and_streamed_as_lines),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
