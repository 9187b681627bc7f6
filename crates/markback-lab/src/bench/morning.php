<?php

// The usual loop of a sign-in system with Wonde's public PHP client: for each event, read today's register, then post
// one mark.
//
// Usage: php morning.php AUTOLOAD URL TOKEN_FILE EVENTS
//
// AUTOLOAD is the autoload.php of the client's dependencies, URL the address of the API with its version, EVENTS a
// file with a line "school,student,date,session,code" for each event, where the code is an attendance code's id. Prints
// one line of JSON: the number of marks, how many of them were in the register before, and the processor time of this
// process in microseconds.

use Wonde\Client;
use Wonde\Endpoints\Attendance;
use Wonde\Writeback\SessionAttendanceRecord;
use Wonde\Writeback\SessionRegister;

if ($argc !== 5) {
    fwrite(STDERR, "usage: php morning.php AUTOLOAD URL TOKEN_FILE EVENTS\n");
    exit(2);
}
[, $autoload, $url, $tokenFile, $eventsFile] = $argv;
require $autoload;

$token = trim(file_get_contents($tokenFile));
$events = fopen($eventsFile, 'r');
if ($token === '' || $events === false) {
    fwrite(STDERR, "the token or the events cannot be read\n");
    exit(2);
}

// The client speaks https only. Its endpoints say where they are, so one of ours says where the sandbox is.
function attendanceAt(string $url, string $token, string $school): Attendance
{
    $attendance = new class($token, "schools/$school/") extends Attendance {
        public $url;

        public function getEndpoint()
        {
            return "{$this->url}/";
        }
    };
    $attendance->url = rtrim($url, '/');
    return $attendance;
}

$client = new Client($token);
$schools = [];
$marks = 0;
$known = 0;
while (($line = fgets($events)) !== false) {
    [$school, $student, $date, $session, $code] = explode(',', trim($line));
    if (!isset($schools[$school])) {
        $schools[$school] = $client->school($school);
        $schools[$school]->attendance = attendanceAt($url, $token, $school);
    }
    $attendance = $schools[$school]->attendance();

    $today = ['updated_after' => "$date 00:00:00", 'per_page' => 200];
    foreach ($attendance->all([], $today) as $row) {
        if ($row->student === $student && $row->session === $session && substr($row->date->date, 0, 10) === $date) {
            $known += 1;
        }
    }

    $mark = new SessionAttendanceRecord();
    $mark->setStudentId($student);
    $mark->setDate($date);
    $mark->setSession($session);
    $mark->setAttendanceCodeId($code);
    $register = new SessionRegister();
    $register->add($mark);
    $attendance->sessionRegister($register);
    $marks += 1;
}

$used = getrusage();
$micros = 1000000 * ($used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec'])
    + $used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec'];
echo json_encode(['marks' => $marks, 'known' => $known, 'cpu_micros' => $micros]), "\n";
