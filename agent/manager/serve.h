/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MANAGER_SERVE_H
#define MANAGER_SERVE_H

#include "manager/options.h"

/** serve() - be the manager until SIGTERM or SIGINT */
int serve(const struct options *options, struct error *e);

#endif
