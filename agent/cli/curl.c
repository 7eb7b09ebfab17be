// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cli/curl.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

#define LIBRARY "libcurl.so.4"

#define SYMBOL(member) { "curl_" #member, offsetof(struct curl_library, member) }

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
	SYMBOL(global_init),
	SYMBOL(easy_init),
	SYMBOL(easy_setopt),
	SYMBOL(easy_perform),
	SYMBOL(easy_getinfo),
	SYMBOL(easy_strerror),
	SYMBOL(easy_cleanup),
	SYMBOL(slist_append),
	SYMBOL(slist_free_all),
};

int curl_library_load(struct curl_library *ret, struct error *e)
{
	struct curl_library found;
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return error_fail(e, ENOENT, "Cannot ask a manager without " LIBRARY ": install libcurl4 (%s)",
				  dlerror());
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *symbol = dlsym(library, symbols[i].name);

		if (!symbol)
			return error_fail(e, ENOENT, "Cannot ask a manager: " LIBRARY " has no %s; install a newer libcurl4",
					  symbols[i].name);
		/* POSIX lets a pointer to a function be one to an object */
		memcpy((char *)&found + symbols[i].offset, &symbol, sizeof(symbol));
	}
	*ret = found;
	return 0;
}
