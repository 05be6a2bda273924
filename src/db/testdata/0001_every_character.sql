-- What CMake might take for its own: @PROJECT_NAME@ ${PROJECT_NAME} $<CONFIG> a;b;;c [x] [[y]] \n \\ \" "quoted" # $ENV{HOME}
CREATE TABLE at_signs(id INTEGER PRIMARY KEY, text TEXT NOT NULL DEFAULT '@PROJECT_NAME@ ${PROJECT_NAME};[a]\;"#');
