// SPDX-License-Identifier: LGPL-2.1-or-later
/* Loads the key 00 01 … 3f into the kernel and prints the DEK's UUID. */
#include "lib.h"

int main(void)
{
	struct dek dek;
	struct nl nl;
	int r;

	dek_counting(&dek, KEY_MAX);
	r = nl_open(&nl);
	if (!r)
		r = key_set(&nl, &dek);
	if (r) {
		fprintf(stderr, "load_key: cannot load DEK %s: %s\n", dek.text, strerror(-r));
		return 1;
	}
	nl_close(&nl);
	puts(dek.text);
	return 0;
}
