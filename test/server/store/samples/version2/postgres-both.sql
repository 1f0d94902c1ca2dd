CREATE TABLE agencies (
    draw integer NOT NULL,
    agency integer NOT NULL,
    bets integer DEFAULT 0 NOT NULL,
    finished boolean DEFAULT false NOT NULL,
    told boolean DEFAULT false NOT NULL,
    edition integer DEFAULT 0 NOT NULL,
    last_write uuid,
    excluded boolean DEFAULT false NOT NULL,
    CONSTRAINT agencies_check CHECK ((NOT (excluded AND finished)))
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

CREATE TABLE discards (
    id text NOT NULL,
    draw integer NOT NULL,
    agency integer NOT NULL,
    bets integer NOT NULL
);

CREATE TABLE draws (
    id integer NOT NULL,
    name text NOT NULL,
    agencies integer[],
    winning_number smallint,
    recorded_by text,
    recorded_at timestamp with time zone,
    number_from text,
    fixed_number smallint,
    close_at timestamp with time zone,
    closes_at timestamp with time zone,
    numbered_by text,
    numbered_at timestamp with time zone,
    CONSTRAINT draws_check CHECK (((winning_number IS NULL) = (numbered_by IS NULL))),
    CONSTRAINT draws_check1 CHECK (((recorded_by IS NULL) OR (numbered_by IS NOT NULL)))
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

CREATE TABLE winners (
    draw integer NOT NULL,
    agency integer NOT NULL,
    "position" integer NOT NULL,
    birthdate date NOT NULL,
    number smallint NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    document text NOT NULL
);

INSERT INTO agencies VALUES
	(1, 2, 60, true, true, 0, 'cc964c80-56e8-47c3-9a93-0c24bafce3b6', false),
	(1, 1, 60, true, true, 0, 'e1a985a8-6200-4b0b-b80a-48394041bbe6', false),
	(1, 3, 60, true, true, 0, '195d5f4d-32ac-4dca-b14d-1409f285dad8', false),
	(3, 1, 8, true, false, 0, 'f1e71e7d-a8a0-483c-8265-62d36c6c30c8', false),
	(3, 2, 4, false, false, 1, '25673308-20a5-4535-abe3-5193e32f709f', false),
	(3, 3, 0, false, false, 0, 'c25b3ca1-728e-4ffc-ac84-11f9bdb97978', true);

INSERT INTO bets VALUES
	(1, 3, 0, '1991-08-14', 3958, 'Joaquín Joaquín', 'Miranda', '36850305'),
	(1, 3, 1, '1959-05-15', 2428, 'Cecilia', 'Ortiz', '26113935'),
	(1, 3, 2, '1961-12-18', 2354, 'Mateo Florencia', 'Benítez', '37555501'),
	(1, 3, 3, '1956-06-25', 5498, 'Julieta', 'Robledo', '39144322'),
	(1, 3, 4, '1945-01-24', 5918, 'Lorenzo', 'Coronel', '32592174'),
	(1, 3, 5, '1986-08-18', 931, 'Delfina', 'Peralta', '21005720'),
	(1, 3, 6, '1941-12-20', 5675, 'Fermín Thiago', 'Molina', '35093525'),
	(1, 3, 7, '1998-01-26', 1446, 'Simón', 'Flores', '22646969'),
	(1, 3, 8, '1993-04-13', 7502, 'Hernán', 'Mansilla', '39029964'),
	(1, 3, 9, '1965-04-25', 3121, 'Martín', 'Pereyra', '24054807'),
	(1, 3, 10, '1962-01-15', 1396, 'Ignacio Lucía', 'Ledesma', '32318515'),
	(1, 3, 11, '2001-04-23', 6174, 'Magalí Manuel', 'López', '27804423'),
	(1, 3, 12, '1980-02-28', 426, 'Nahuel', 'Barrios', '27595023'),
	(1, 3, 13, '2000-06-13', 1395, 'Catalina Inés', 'Benítez', '26249127'),
	(1, 3, 14, '2003-09-26', 7039, 'Hernán', 'Leiva', '26556227'),
	(1, 3, 15, '1942-08-07', 2671, 'Magalí', 'Coronel', '33057043'),
	(1, 3, 16, '1972-07-08', 8301, 'Magalí Clara', 'Coronel', '25463577'),
	(1, 3, 17, '1988-01-03', 325, 'Martina', 'Maidana', '26218554'),
	(1, 3, 18, '1985-01-01', 2920, 'Bruno', 'Maidana', '32961401'),
	(1, 3, 19, '1967-12-10', 1943, 'Paula', 'Márquez', '21632240'),
	(1, 3, 20, '1969-02-17', 8576, 'Nicolás Olivia', 'Ríos', '34708971'),
	(1, 3, 21, '1950-06-02', 9923, 'Victoria', 'Ibáñez', '33644757'),
	(1, 3, 22, '1995-11-24', 4908, 'Lorenzo', 'Torres', '20592411'),
	(1, 3, 23, '1989-03-07', 7437, 'Paula', 'Ramos', '29080079'),
	(1, 3, 24, '1957-06-28', 9640, 'Pablo', 'Martínez', '21125491'),
	(1, 3, 25, '1947-05-16', 2052, 'Candela', 'Franco', '28811069'),
	(1, 3, 26, '1959-10-13', 9272, 'Micaela', 'Fuentes', '36657593'),
	(1, 3, 27, '1980-07-23', 4204, 'Marcos', 'Vargas', '36711233'),
	(1, 3, 28, '1967-10-16', 5206, 'Antonella', 'Mamani', '31199048'),
	(1, 3, 29, '1969-05-08', 89, 'Daniela Valentín', 'Navarro', '38866446'),
	(1, 3, 30, '1940-12-11', 5769, 'Juan Luciano', 'Salazar', '31772996'),
	(1, 3, 31, '1970-03-09', 9235, 'Agustina Alma', 'Ramos', '39005608'),
	(1, 3, 32, '1966-10-14', 3731, 'Renata', 'Díaz', '33004735'),
	(1, 3, 33, '1971-07-02', 4916, 'Malena Luciano', 'Moreno', '34878869'),
	(1, 3, 34, '1967-08-06', 5003, 'Maximiliano', 'Franco', '30673497'),
	(1, 3, 35, '1987-02-10', 890, 'Jazmín Martina', 'Coronel', '31142614'),
	(1, 3, 36, '1950-08-11', 9150, 'Ciro', 'Gallardo', '23850910'),
	(1, 3, 37, '1945-03-04', 6106, 'Candela Cristian', 'Yáñez', '38002207'),
	(1, 3, 38, '1990-07-28', 6987, 'Bruno', 'Quiroga', '22567850'),
	(1, 3, 39, '1981-09-22', 6564, 'Magalí', 'Luna', '36176828'),
	(1, 3, 40, '1971-06-14', 9357, 'Hernán', 'Ramírez', '36859250'),
	(1, 3, 41, '1978-02-01', 6183, 'Diego', 'Quiroga', '22091940'),
	(1, 3, 42, '2004-02-19', 4304, 'Nicolás', 'Blanco', '37747830'),
	(1, 3, 43, '1969-02-09', 7496, 'Carla Ciro', 'Ponce', '39242646'),
	(1, 3, 44, '1956-03-21', 5489, 'Mateo Ezequiel', 'Ponce', '24531317'),
	(1, 3, 45, '1979-07-16', 6889, 'Alan Victoria', 'Díaz', '25815310'),
	(1, 3, 46, '2000-02-09', 308, 'Pedro Maximiliano', 'Silva', '35071257'),
	(1, 3, 47, '1971-03-19', 6697, 'Thiago', 'Álvarez', '31777674'),
	(1, 3, 48, '1946-08-25', 64, 'Leandro Daniela', 'Fuentes', '39638207'),
	(1, 3, 49, '1944-07-16', 2219, 'Julia Jazmín', 'Castro', '39328967'),
	(1, 3, 50, '1978-05-17', 1125, 'Nicolás Luisina', 'Correa', '23640062'),
	(1, 3, 51, '1940-01-20', 2282, 'Valentín Ariel', 'Fernández', '25267024'),
	(1, 3, 52, '1949-09-28', 5086, 'Carla Agustín', 'Giménez', '34458498'),
	(1, 3, 53, '1991-07-16', 1066, 'Pedro', 'Márquez', '21193593'),
	(1, 3, 54, '1953-05-10', 6694, 'Mateo Brenda', 'Vera', '33013488'),
	(1, 3, 55, '2001-09-26', 7945, 'Daniela', 'Núñez', '22693088'),
	(1, 3, 56, '1985-06-19', 7861, 'Diego Jazmín', 'Aguirre', '21390729'),
	(1, 3, 57, '1990-11-23', 5388, 'Emma', 'Fernández', '36387685'),
	(1, 3, 58, '1974-12-10', 2345, 'Francisco', 'Aguirre', '29876563'),
	(1, 3, 59, '1969-11-28', 4678, 'Catalina Agustín', 'Álvarez', '35035733'),
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
	(1, 1, 59, '1962-12-02', 6070, 'Luna Cristian', 'Figueroa', '22157669'),
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
	(1, 2, 25, '1967-03-01', 7163, 'Axel', 'Fuentes', '26348078'),
	(1, 2, 26, '1980-10-27', 4695, 'Antonella Cristian', 'Villalba', '22352717'),
	(1, 2, 27, '1991-02-08', 6278, 'Joaquín', 'Escobar', '39690694'),
	(1, 2, 28, '1995-03-18', 5232, 'Juan', 'Silva', '25609519'),
	(1, 2, 29, '1981-10-01', 2658, 'Brenda Agustín', 'Toledo', '20970526'),
	(1, 2, 30, '1998-06-15', 7574, 'Diego', 'Godoy', '25831806'),
	(1, 2, 31, '1964-05-18', 1196, 'Gonzalo', 'Martínez', '26501587'),
	(1, 2, 32, '1965-05-17', 7002, 'Victoria Valentina', 'Castillo', '31255812'),
	(1, 2, 33, '1983-02-14', 8136, 'Daniela Lorenzo', 'Coronel', '39042096'),
	(1, 2, 34, '1962-01-19', 9565, 'Rocío', 'Medina', '28443431'),
	(1, 2, 35, '1956-01-06', 1859, 'Axel Mateo', 'Molina', '37393431'),
	(1, 2, 36, '1957-09-10', 8667, 'Alma Mateo', 'González', '39386087'),
	(1, 2, 37, '1982-01-07', 2178, 'Lucía Julián', 'Blanco', '36175928'),
	(1, 2, 38, '1966-09-14', 1877, 'Zoe Clara', 'Núñez', '21141854'),
	(1, 2, 39, '1982-08-21', 4635, 'Inés', 'Páez', '21820335'),
	(1, 2, 40, '1994-07-20', 9482, 'Bautista Emanuel', 'Franco', '34736054'),
	(1, 2, 41, '1961-07-10', 5644, 'Tomás', 'Sánchez', '24440376'),
	(1, 2, 42, '1979-10-27', 7939, 'Mateo Iván', 'Álvarez', '22401749'),
	(1, 2, 43, '1953-07-10', 4584, 'Lautaro Pilar', 'Aguirre', '36550774'),
	(1, 2, 44, '1970-08-09', 4508, 'Gastón Josefina', 'Godoy', '23849588'),
	(1, 2, 45, '1958-06-17', 5557, 'Ramiro Felipe', 'Acosta', '27758016'),
	(1, 2, 46, '1981-06-16', 2885, 'Ramiro', 'Fuentes', '29269971'),
	(1, 2, 47, '1966-03-04', 7654, 'Luciano Pilar', 'Morales', '38800135'),
	(1, 2, 48, '1959-12-04', 9471, 'Mateo Lucas', 'Correa', '35996843'),
	(1, 2, 49, '1994-07-18', 6234, 'Rocío', 'Ojeda', '33294474'),
	(1, 2, 50, '1996-10-19', 3161, 'Valentín', 'Vargas', '38043748'),
	(1, 2, 51, '1974-03-12', 5966, 'Francisco Nahuel', 'Giménez', '39410563'),
	(1, 2, 52, '1943-04-08', 6338, 'Rodrigo', 'Moreno', '31945432'),
	(1, 2, 53, '1985-03-22', 3088, 'Iván', 'Robledo', '36300979'),
	(1, 2, 54, '2003-04-09', 7597, 'Victoria', 'López', '37465187'),
	(1, 2, 55, '1989-06-13', 5344, 'Zoe Elena', 'Benítez', '23995201'),
	(1, 2, 56, '1967-05-14', 5071, 'Luna', 'Páez', '35123487'),
	(1, 2, 57, '1983-04-24', 7061, 'Santiago Paula', 'Ponce', '36572478'),
	(1, 2, 58, '1993-01-28', 10, 'Benjamín', 'Cabrera', '28199444'),
	(1, 2, 59, '2000-09-27', 3296, 'Benjamín Micaela', 'Cáceres', '22157864'),
	(3, 1, 0, '1990-02-28', 0, 'Ana', 'López', '000100000'),
	(3, 1, 1, '1990-02-28', 1, 'María José', 'O"Hara, the 2nd', '000100001'),
	(3, 1, 2, '1990-02-28', 2, '﻿Iñigo', 'Peña', '000100002'),
	(3, 1, 3, '1990-02-28', 7574, '王', '小明', '000100003'),
	(3, 1, 4, '1990-02-28', 4, '"', ',', '000100004'),
	(3, 1, 5, '1990-02-28', 5, ' lead', 'trail ', '000100005'),
	(3, 1, 6, '1990-02-28', 6, 'a''b', 'c;d', '000100006'),
	(3, 1, 7, '1990-02-28', 7, 'Ana', 'López', '000100007'),
	(3, 2, 0, '1990-02-28', 0, 'Ana', 'López', '000200000'),
	(3, 2, 1, '1990-02-28', 1, 'María José', 'O"Hara, the 2nd', '000200001'),
	(3, 2, 2, '1990-02-28', 2, '﻿Iñigo', 'Peña', '000200002'),
	(3, 2, 3, '1990-02-28', 7574, '王', '小明', '000200003');

INSERT INTO discards VALUES
	('act', 3, 2, 4);

INSERT INTO draws OVERRIDING SYSTEM VALUE VALUES
	(1, 'default', '{1,2,3}', 7574, 'server 14569 3fcee337-3594-446c-8c42-5240c38bd127', '2026-11-29 07:05:01.635848+00', 'fixed', 7574, NULL, NULL, 'server 14569 3fcee337-3594-446c-8c42-5240c38bd127', '2026-11-29 07:05:01.635848+00'),
	(3, 'open', '{1,2,3}', NULL, NULL, NULL, 'announced', NULL, '2096-10-02 07:06:40+00', '2099-12-03 16:53:20+00', NULL, NULL);

INSERT INTO lottery_migrations VALUES
	(1, '2026-11-29 07:05:01.176404+00', 'tables'),
	(2, '2026-11-29 14:53:09.711821+00', 'steps');

INSERT INTO winners VALUES
	(1, 1, 6, '1944-07-26', 7574, 'Luna', 'Álvarez', '29107789'),
	(1, 1, 30, '1944-09-07', 7574, 'Cristian Fermín', 'Pereyra', '36225670'),
	(1, 2, 6, '1967-04-02', 7574, 'Victoria', 'Domínguez', '34766956'),
	(1, 2, 30, '1998-06-15', 7574, 'Diego', 'Godoy', '25831806');

SELECT pg_catalog.setval('draws_id_seq', 6, true);

ALTER TABLE ONLY agencies
    ADD CONSTRAINT agencies_pkey PRIMARY KEY (draw, agency);

ALTER TABLE ONLY bets
    ADD CONSTRAINT bets_pkey PRIMARY KEY (draw, agency, "position");

ALTER TABLE ONLY discards
    ADD CONSTRAINT discards_pkey PRIMARY KEY (id);

ALTER TABLE ONLY draws
    ADD CONSTRAINT draws_name_key UNIQUE (name);

ALTER TABLE ONLY draws
    ADD CONSTRAINT draws_pkey PRIMARY KEY (id);

ALTER TABLE ONLY lottery_migrations
    ADD CONSTRAINT lottery_migrations_pkey PRIMARY KEY (migration_id);

ALTER TABLE ONLY winners
    ADD CONSTRAINT winners_pkey PRIMARY KEY (draw, agency, "position");

ALTER TABLE ONLY agencies
    ADD CONSTRAINT agencies_draw_fkey FOREIGN KEY (draw) REFERENCES draws(id);
