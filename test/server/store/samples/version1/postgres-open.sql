CREATE TABLE agencies (
    draw integer NOT NULL,
    agency integer NOT NULL,
    bets integer DEFAULT 0 NOT NULL,
    finished boolean DEFAULT false NOT NULL,
    told boolean DEFAULT false NOT NULL,
    edition integer DEFAULT 0 NOT NULL,
    last_write uuid
)
WITH (fillfactor='50');

CREATE TABLE bets (
    draw integer NOT NULL,
    agency integer NOT NULL,
    "position" integer NOT NULL,
    birthdate date NOT NULL,
    number smallint NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    document text NOT NULL
);

CREATE TABLE draws (
    id integer NOT NULL,
    name text NOT NULL,
    agencies integer[],
    winning_number smallint,
    recorded_by text,
    recorded_at timestamp with time zone
);

ALTER TABLE draws ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME draws_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE lottery_migrations (
    migration_id integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    name text NOT NULL
);

INSERT INTO agencies VALUES
	(1, 3, 0, false, false, 0, NULL),
	(1, 2, 25, false, false, 0, 'b3f3d817-2d19-41a4-8f87-527de803d6cc'),
	(1, 1, 60, true, false, 0, '6f0656be-823d-41e6-9e27-e81c483ae287');

INSERT INTO bets VALUES
	(1, 2, 0, '1946-02-11', 8403, 'Emanuel', 'Reynoso', '35654046'),
	(1, 2, 1, '2003-12-11', 7386, 'Bautista', 'Moyano', '37730089'),
	(1, 2, 2, '1965-12-08', 4412, 'Mariano Micaela', 'Reynoso', '38432377'),
	(1, 2, 3, '1978-09-10', 377, 'Clara', 'Sosa', '31315149'),
	(1, 2, 4, '1958-01-06', 5391, 'Damián Julieta', 'Quiroga', '22769921'),
	(1, 2, 5, '1976-11-14', 1411, 'Clara Oriana', 'Vázquez', '35055974'),
	(1, 2, 6, '1967-04-02', 7574, 'Victoria', 'Domínguez', '34766956'),
	(1, 2, 7, '1978-10-15', 4461, 'Luna', 'Olivera', '30175584'),
	(1, 2, 8, '1996-11-01', 2205, 'Paula Diego', 'Navarro', '23224823'),
	(1, 2, 9, '1950-07-10', 1409, 'Paula', 'Domínguez', '33916270'),
	(1, 2, 10, '1956-02-15', 7567, 'Ezequiel', 'Rodríguez', '21719414'),
	(1, 2, 11, '1965-01-07', 4983, 'Violeta Maximiliano', 'Muñoz', '28934558'),
	(1, 2, 12, '1944-04-26', 8508, 'Martín', 'Fernández', '27816296'),
	(1, 2, 13, '2002-12-20', 5113, 'Leandro Jazmín', 'Castillo', '26247070'),
	(1, 2, 14, '1971-01-11', 2194, 'Alan', 'Díaz', '28990352'),
	(1, 2, 15, '1953-10-17', 9569, 'Elena Morena', 'Méndez', '22810494'),
	(1, 2, 16, '1991-11-20', 5071, 'Manuel', 'Bustos', '20992737'),
	(1, 2, 17, '1983-06-06', 4902, 'Diego', 'López', '25257770'),
	(1, 2, 18, '1969-04-17', 458, 'Valentín', 'Castillo', '26470841'),
	(1, 2, 19, '1950-01-03', 4400, 'Bianca', 'Ortiz', '34156693'),
	(1, 2, 20, '1984-03-14', 3868, 'Ana', 'Díaz', '38633854'),
	(1, 2, 21, '1988-02-25', 6780, 'Micaela Pedro', 'Bravo', '20902108'),
	(1, 2, 22, '1976-05-12', 4976, 'Iván', 'García', '34924559'),
	(1, 2, 23, '1997-07-23', 8413, 'Ezequiel', 'López', '31365758'),
	(1, 2, 24, '1962-05-18', 5594, 'Felipe', 'Ramírez', '20739358'),
	(1, 1, 0, '1962-10-05', 3920, 'Agustina', 'Molina', '38415368'),
	(1, 1, 1, '1962-08-24', 48, 'Oriana', 'Páez', '36474783'),
	(1, 1, 2, '1985-06-26', 8515, 'Bianca Milagros', 'Flores', '31845556'),
	(1, 1, 3, '1995-05-11', 170, 'Antonella', 'Castillo', '26094021'),
	(1, 1, 4, '1977-08-03', 1734, 'Pilar Gonzalo', 'Martín', '23654458'),
	(1, 1, 5, '1964-06-22', 4394, 'Ciro', 'Herrera', '26476964'),
	(1, 1, 6, '1944-07-26', 7574, 'Luna', 'Álvarez', '29107789'),
	(1, 1, 7, '1944-01-21', 6730, 'Daniela Damián', 'Escobar', '34662836'),
	(1, 1, 8, '1987-09-21', 6092, 'Facundo Felipe', 'González', '23046274'),
	(1, 1, 9, '1955-09-24', 8570, 'Ramiro Cecilia', 'Leiva', '38539769'),
	(1, 1, 10, '1983-05-01', 7236, 'Mateo', 'Rojas', '34218906'),
	(1, 1, 11, '1958-02-22', 2360, 'Emilia Martín', 'Márquez', '28738542'),
	(1, 1, 12, '1990-08-10', 2409, 'Milagros', 'Chávez', '32581602'),
	(1, 1, 13, '1940-10-21', 7794, 'Nahuel Inés', 'Medina', '33367539'),
	(1, 1, 14, '1966-05-10', 5216, 'Josefina', 'Gallardo', '21051714'),
	(1, 1, 15, '1981-02-26', 5417, 'Axel Carla', 'Figueroa', '26190200'),
	(1, 1, 16, '1949-08-14', 7279, 'Hernán Camila', 'Valdez', '34952666'),
	(1, 1, 17, '2002-04-06', 4091, 'Malena', 'González', '35871110'),
	(1, 1, 18, '1978-04-23', 6587, 'Lorenzo Elena', 'Domínguez', '33692080'),
	(1, 1, 19, '1959-11-11', 8630, 'Bruno', 'Cardozo', '33787497'),
	(1, 1, 20, '1994-11-02', 6892, 'Inés', 'Pereyra', '26860109'),
	(1, 1, 21, '1979-02-15', 78, 'Morena', 'Fernández', '34810754'),
	(1, 1, 22, '1957-10-26', 3426, 'Mariano Camila', 'Roldán', '28293157'),
	(1, 1, 23, '1965-04-14', 792, 'Mateo', 'Suárez', '20266734'),
	(1, 1, 24, '1982-08-07', 1897, 'Juana', 'Vázquez', '30725447'),
	(1, 1, 25, '1990-09-25', 806, 'Julia', 'Benítez', '28449176'),
	(1, 1, 26, '1943-07-05', 7710, 'Bruno Alejandro', 'Flores', '37260086'),
	(1, 1, 27, '1957-03-11', 5314, 'Verónica', 'Olivera', '30581258'),
	(1, 1, 28, '1948-02-21', 2583, 'Ramiro Mariano', 'Salazar', '38249783'),
	(1, 1, 29, '1955-09-08', 9073, 'Morena', 'Rodríguez', '33016744'),
	(1, 1, 30, '1944-09-07', 7574, 'Cristian Fermín', 'Pereyra', '36225670'),
	(1, 1, 31, '1986-10-15', 9194, 'Sebastián', 'Pérez', '32566879'),
	(1, 1, 32, '1979-08-08', 211, 'Felipe Alan', 'Acosta', '23364040'),
	(1, 1, 33, '1956-06-14', 7449, 'Julieta', 'Arias', '36546499'),
	(1, 1, 34, '1946-12-16', 4533, 'Jazmín Hernán', 'Ojeda', '25228805'),
	(1, 1, 35, '1973-07-26', 501, 'Alan Cristian', 'Núñez', '20621473'),
	(1, 1, 36, '1954-07-24', 5863, 'Sebastián', 'Velázquez', '24184894'),
	(1, 1, 37, '1988-08-23', 6637, 'Inés Sebastián', 'Ramírez', '33256095'),
	(1, 1, 38, '1980-08-27', 4400, 'Luisina', 'Blanco', '34629236'),
	(1, 1, 39, '1940-05-09', 7421, 'Ana', 'Escobar', '20391966'),
	(1, 1, 40, '1940-08-22', 8886, 'Nahuel Martín', 'Gutiérrez', '36625456'),
	(1, 1, 41, '1979-01-06', 4546, 'Gabriel', 'Molina', '30190037'),
	(1, 1, 42, '1975-04-20', 168, 'Alma Julieta', 'Rodríguez', '21605140'),
	(1, 1, 43, '1953-10-15', 3481, 'Alejandro Francisco', 'Rojas', '35353282'),
	(1, 1, 44, '1954-05-08', 90, 'Sebastián Victoria', 'Gutiérrez', '25080020'),
	(1, 1, 45, '1947-11-24', 6338, 'Felipe Felipe', 'Ibáñez', '21298678'),
	(1, 1, 46, '1965-05-12', 7676, 'Catalina Tomás', 'Ortiz', '23995951'),
	(1, 1, 47, '2004-11-14', 9109, 'Brenda Ciro', 'Ponce', '26006125'),
	(1, 1, 48, '1954-05-07', 2511, 'Bianca Florencia', 'Domínguez', '22964009'),
	(1, 1, 49, '1946-07-14', 6133, 'Valentín', 'Luna', '27138765'),
	(1, 1, 50, '1977-06-20', 5424, 'María María', 'Robledo', '32622435'),
	(1, 1, 51, '1958-01-25', 2989, 'Micaela', 'Silva', '21282624'),
	(1, 1, 52, '1968-06-10', 4125, 'Diego Josefina', 'Molina', '28961646'),
	(1, 1, 53, '1979-03-26', 7520, 'Antonella', 'Torres', '29239032'),
	(1, 1, 54, '1967-10-17', 5793, 'Manuel', 'Moreno', '27419392'),
	(1, 1, 55, '1967-04-07', 5316, 'Julieta', 'Olivera', '29574529'),
	(1, 1, 56, '1960-11-14', 3701, 'Agustina Marcos', 'Herrera', '38324703'),
	(1, 1, 57, '1981-09-14', 3139, 'Lorenzo', 'Miranda', '30783405'),
	(1, 1, 58, '2004-07-09', 955, 'Rocío Lorenzo', 'Molina', '27200388'),
	(1, 1, 59, '1962-12-02', 6070, 'Luna Cristian', 'Figueroa', '22157669');

INSERT INTO draws OVERRIDING SYSTEM VALUE VALUES
	(1, 'default', '{1,2,3}', 7574, NULL, NULL);

INSERT INTO lottery_migrations VALUES
	(1, '2026-11-29 07:04:58.780199+00', 'tables');

SELECT pg_catalog.setval('draws_id_seq', 2, true);

ALTER TABLE ONLY agencies
    ADD CONSTRAINT agencies_pkey PRIMARY KEY (draw, agency);

ALTER TABLE ONLY bets
    ADD CONSTRAINT bets_pkey PRIMARY KEY (draw, agency, "position");

ALTER TABLE ONLY draws
    ADD CONSTRAINT draws_name_key UNIQUE (name);

ALTER TABLE ONLY draws
    ADD CONSTRAINT draws_pkey PRIMARY KEY (id);

ALTER TABLE ONLY lottery_migrations
    ADD CONSTRAINT lottery_migrations_pkey PRIMARY KEY (migration_id);

CREATE INDEX bets_on_7574 ON bets USING btree (draw, agency, "position") INCLUDE (document) WHERE (number = 7574);

ALTER TABLE ONLY agencies
    ADD CONSTRAINT agencies_draw_fkey FOREIGN KEY (draw) REFERENCES draws(id);
