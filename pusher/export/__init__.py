"""The export job: questionnaires off a public web server, archived and proven before they are deleted there."""
