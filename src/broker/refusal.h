/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a submission is refused for. */

#include "broker_priv.h"

/*
 * Could anything ever run this request: a node that is there or was, an offer? cmd->flag says whether, cmd->explain by what; for one that is
 * beyond what providers allow the reply is a warning. Taken all the same while the broker is still finding out what there is, and where only
 * a rate of exchange is missing.
 *
 * Errors: -WEIR_EIMPOSSIBLE, with the nearest request that is possible.
 */
int refusal_check(struct broker *b, const struct weir_request *request, struct weir_command *cmd);
