/**
 * Generates books of random bets in the format of real ones: lines of `first names,last
 * name,document,birthdate,number`, CR LF, UTF-8, no quoting. The same seed gives the same book.
 */
import { Effect, Stream } from "effect"
import { writeWhole } from "./WholeFile.ts"

const FIRST_NAMES = (
  "Agustín Agustina Alan Alejandro Alma Ambar Ana Antonella Ariel Axel Bautista Benjamín Bianca " +
  "Brenda Bruno Camila Candela Carla Catalina Cecilia Ciro Clara Cristian Damián Daniela " +
  "Delfina Diego Elena Emanuel Emilia Emma Ezequiel Facundo Federico Felipe Fermín Florencia " +
  "Francisco Gabriel Gastón Gonzalo Guadalupe Guillermo Hernán Ignacio Inés Iván Jazmín Joaquín " +
  "Josefina Juan Juana Julia Julián Julieta Lautaro Leandro Leonel Lola Lorenzo Lucas Lucía " +
  "Luciano Luisina Luna Magalí Malena Manuel Marcos María Mariano Martín Martina Mateo Matías " +
  "Maximiliano Mía Micaela Milagros Morena Nahuel Nicolás Olivia Oriana Pablo Paula Pedro Pilar " +
  "Ramiro Renata Rocío Rodrigo Santiago Sebastián Simón Sofía Thiago Tomás Valentín Valentina " +
  "Verónica Victoria Violeta Zoe"
).split(" ")

const LAST_NAMES = (
  "Acosta Aguirre Álvarez Arias Ávila Barrios Benítez Blanco Bravo Bustos Cabrera Cáceres " +
  "Cardozo Castillo Castro Chávez Córdoba Coronel Correa Díaz Domínguez Escobar Fernández " +
  "Ferreyra Figueroa Flores Franco Fuentes Gallardo García Giménez Godoy Gómez González " +
  "Gutiérrez Guzmán Heredia Hernández Herrera Ibáñez Juárez Ledesma Leiva López Luna Maidana " +
  "Maldonado Mamani Mansilla Márquez Martín Martínez Medina Méndez Mendoza Miranda Molina " +
  "Morales Moreno Moyano Muñoz Navarro Núñez Ojeda Olivera Ortiz Páez Peralta Pereyra Pérez " +
  "Ponce Quiroga Ramírez Ramos Reynoso Ríos Rivero Robledo Rodríguez Rojas Roldán Romero Ruiz " +
  "Salazar Sánchez Silva Sosa Soto Suárez Toledo Toloza Torres Valdez Vargas Vázquez Vega " +
  "Velázquez Vera Villalba Yáñez Zárate"
).split(" ")

export interface BookParameters {
  /** A whole number from 0 to 4,294,967,295. */
  readonly seed: number
  readonly agency: number
  readonly bets: number
  /** Puts about one bet in `everyBets` on `number`, in addition to random ones. */
  readonly winners?: { readonly number: number; readonly everyBets: number } | undefined
}

const BETS_PER_REPEATED_PERSON = 500

/** Only the most recent people bet again. */
const REMEMBERED_PERSONS = 64

/** A 32-bit random number generator (splitmix32): fast, and good enough to make up people. */
class Chances {
  private state: number

  constructor(seed: number) {
    this.state = seed | 0
  }

  next(): number {
    this.state = (this.state + 0x9e3779b9) | 0
    let mixed = this.state ^ (this.state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * bound)
  }
}

const CHUNK_CHARACTERS = 256 * 1024

const FIRST_DOCUMENT = 20_000_000
const DOCUMENTS = 20_000_000
const FIRST_YEAR = 1940
const YEARS = 65
/** For months and days; every month has 28 days. */
const TWO_DIGITS = Array.from({ length: 29 }, (_, number) => String(number).padStart(2, "0"))

const oneOf = (names: ReadonlyArray<string>, chances: Chances): string =>
  names[chances.below(names.length)]!

/** The fields of a line except the number. */
const personOf = (seed: number): string => {
  const chances = new Chances(seed)
  let firstNames = oneOf(FIRST_NAMES, chances)
  if (chances.below(2) === 0) firstNames += ` ${oneOf(FIRST_NAMES, chances)}`
  const lastName = oneOf(LAST_NAMES, chances)
  const document = FIRST_DOCUMENT + chances.below(DOCUMENTS)
  const year = FIRST_YEAR + chances.below(YEARS)
  const month = TWO_DIGITS[1 + chances.below(12)]
  const day = TWO_DIGITS[1 + chances.below(28)]
  return `${firstNames},${lastName},${document},${year}-${month}-${day}`
}

/** Generates a book in chunks of whole lines. */
export function* generateBook(parameters: BookParameters): Generator<Uint8Array> {
  const { agency, bets, seed, winners } = parameters
  const utf8 = new TextEncoder()
  const chances = new Chances(seed ^ Math.imul(agency, 0x85ebca6b))
  const persons = new Uint32Array(REMEMBERED_PERSONS)
  let known = 0
  /** Returns the seed of a person, usually a new one. */
  const choosePerson = (): number => {
    const remembered = Math.min(known, REMEMBERED_PERSONS)
    if (remembered > 0 && chances.below(BETS_PER_REPEATED_PERSON) === 0) {
      return persons[chances.below(remembered)]!
    }
    const person = chances.next()
    persons[known++ % REMEMBERED_PERSONS] = person
    return person
  }
  let text = ""
  for (let bet = 0; bet < bets; bet++) {
    const person = personOf(choosePerson())
    const isWinner = winners !== undefined && chances.below(winners.everyBets) === 0
    text += `${person},${isWinner ? winners.number : chances.below(10_000)}\r\n`
    if (text.length < CHUNK_CHARACTERS) continue
    yield utf8.encode(text)
    text = ""
  }
  if (text !== "") yield utf8.encode(text)
}

export const writeBook = Effect.fn("GeneratedBook.writeBook")(function* (
  file: string,
  parameters: BookParameters
) {
  yield* writeWhole(file, Stream.fromIterable(generateBook(parameters), { chunkSize: 1 }))
})
