/*
 * A program linked with libfcgi, as others write them: echoes its body; "stderr" in QUERY_STRING
 * also writes to STDERR. Its listening socket is descriptor 0.
 */
#include <fcgiapp.h>
#include <string.h>

int
main(void)
{
	FCGX_Stream *in, *out, *err;
	FCGX_ParamArray env;
	const char *query;
	char piece[4096];
	int n;

	while (FCGX_Accept(&in, &out, &err, &env) >= 0) {
		query = FCGX_GetParam("QUERY_STRING", env);
		if (query != NULL && strcmp(query, "stderr") == 0)
			FCGX_PutS("to stderr", err);
		FCGX_PutS("Content-Type: application/octet-stream\r\n\r\n", out);
		while ((n = FCGX_GetStr(piece, sizeof piece, in)) > 0)
			FCGX_PutStr(piece, n, out);
		FCGX_SetExitStatus(5, out);
	}
	return 0;
}
