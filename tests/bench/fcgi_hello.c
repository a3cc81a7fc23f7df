/* A FastCGI program on libfcgi that says hello: fcgi_hello SOCKET. */
#include <fcgiapp.h>

int
main(int argc, char **argv)
{
	static const char reply[] = "Content-Type: text/plain\r\nContent-Length: 13\r\n\r\n"
				    "Hello, World!";
	FCGX_Request request;
	int listener;

	if (argc != 2 || FCGX_Init() != 0)
		return 1;
	listener = FCGX_OpenSocket(argv[1], 1024);
	if (listener < 0 || FCGX_InitRequest(&request, listener, 0) != 0)
		return 1;
	while (FCGX_Accept_r(&request) == 0) {
		FCGX_PutStr(reply, sizeof reply - 1, request.out);
		FCGX_Finish_r(&request);
	}
	return 0;
}
