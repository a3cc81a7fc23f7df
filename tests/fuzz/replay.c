/*
 * Runs a fuzz target over every file of the folders given, without libFuzzer: how `make check`
 * replays the corpora. A folder without a file is an error: it would test nothing.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as long as the input, so that a sanitizer sees a read beyond it. */
static void
replay_file(const char *path)
{
	struct stat st;
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	size_t size;

	if (file == NULL || fstat(fileno(file), &st) != 0) {
		perror(path);
		exit(2);
	}
	size = (size_t)st.st_size;
	data = malloc(size > 0 ? size : 1);
	if (data == NULL || fread(data, 1, size, file) != size) {
		fprintf(stderr, "%s: cannot be read whole\n", path);
		exit(2);
	}
	fclose(file);
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static unsigned
replay_folder(const char *folder)
{
	struct dirent **names;
	unsigned count = 0;
	int n = scandir(folder, &names, NULL, alphasort);

	if (n < 0) {
		perror(folder);
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		char path[4096];

		if (names[i]->d_name[0] != '.') {
			snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
			replay_file(path);
			count++;
		}
		free(names[i]);
	}
	free(names);
	return count;
}

int
main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++)
		count += replay_folder(argv[i]);
	printf("%u inputs replayed\n", count);
	if (count == 0) {
		fprintf(stderr, "usage: %s FOLDER...: no input was found\n", argv[0]);
		return 2;
	}
	return 0;
}
