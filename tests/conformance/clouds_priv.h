/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of the suite of clouds stand on. */

#include "clouds.h"
#include "rig.h"

enum { FOUND_WITHIN_MS = 9000 };

extern const struct clouds_subject *clouds_subject;

/* clouds.c */
/* A provider at a mock cloud that is well. */
struct rig *clouds_begin(void);
/* Ends everything, and the provider's own books agree that nothing is left and nothing was made twice. */
void clouds_end(struct rig *g);
/* Switches all faults off; fails the test where one of them never came about. */
void clouds_clear(void);
/* A new token, as the broker makes them: with the installation's id at its head. */
const char *clouds_token(void);
/* A number of a fault: "left" (how often it is still to come about) or "hits". */
int clouds_fault_number(const char *fault, const char *number);
/* How many a whole list has. */
size_t clouds_count_all(struct rig *g);
void clouds_await_nothing(struct rig *g);

/* clouds_odd.c: tests */
void clouds_what_was_left_out_of_lists_is_there_again(void **state);
void clouds_an_end_that_was_taken_and_not_carried_out(void **state);
void clouds_lists_without_an_end(void **state);
void clouds_a_machine_in_a_state_that_is_new_is_there(void **state);
void clouds_keys_are_not_shown(void **state);
void clouds_odd_answers_are_survived(void **state);

/* clouds_look.c: tests */
void clouds_a_look_finds_what_is_wrong(void **state);
void clouds_a_look_names_what_is_missing(void **state);
