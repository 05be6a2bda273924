INSERT INTO at_signs(id) VALUES (7);
