/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The mock cloud (tests/cloud/mock) as a child process, and its control below /_mock. Any failure fails the test. */

struct json_t;

/* Starts it in that dialect; options ends with NULL, each "KEY=VALUE". Its address: mock_url. */
void mock_start(const char *dialect, const char *const *options);
void mock_stop(void);
const char *mock_url(void);
/* POST /_mock/<what> with a JSON text. */
void mock_tell(const char *what, const char *json);
/* Switches a fault on for the next `times` operations `on` ("create", ...; NULL: any); more: further members (", \"status\": 502"), or "". */
void mock_fault(const char *name, const char *on, int times, const char *more);
/* GET /_mock/inventory; the caller releases it. */
struct json_t *mock_inventory(void);
/* Machines that cost, and tokens under which more than one was made. */
int mock_alive(void);
int mock_doubles(void);
