// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The harness gives a test 30 seconds of the machine's clock. A debug kernel in
 * an emulator needs more: VMCRYPT_PATIENCE multiplies what it gives. Linked with
 * --wrap=alarm.
 */
#include "lib.h"

unsigned int __real_alarm(unsigned int seconds);
unsigned int __wrap_alarm(unsigned int seconds);

unsigned int __wrap_alarm(unsigned int seconds)
{
	return __real_alarm(seconds * patience());
}
