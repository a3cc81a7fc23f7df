EXTRA_DIST += %D%/check %D%/deps %D%/lint %D%/quickstart %D%/venv
