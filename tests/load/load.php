<?php
/* What app.py does, for php-fpm. */
[, $kind, $number] = explode("/", $_SERVER["PATH_INFO"]);
file_put_contents(getenv("LOAD_LEDGER"), "$number " . getmypid() . "\n", FILE_APPEND);
$pause = 1000 * (int) $_GET["ms"];
if ($kind === "upload") {
    $answer = "$number " . hash("sha256", file_get_contents("php://input")) . "\n";
} else {
    $line = "request $number of the load test\n";
    $size = (int) $_GET["bytes"];
    $answer = substr(str_repeat($line, intdiv($size, strlen($line)) + 1), 0, $size);
}
header("X-Version: php");
if ($kind !== "stream") {
    usleep($pause);
    header("Content-Length: " . strlen($answer));
    echo $answer;
} else {
    foreach (str_split($answer, max(1, intdiv(strlen($answer) + 7, 8))) as $piece) {
        usleep(intdiv($pause, 8));
        echo $piece;
        flush();
    }
}
