/**
 * Books of made-up bets that look like real ones: `first names,last name,document,birthdate,number`
 * a line, CR LF line ends, UTF-8, no quoting. The same seed gives the same book.
 */

import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { BetNumber } from "../../domain/Bet.ts"
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

const utf8 = new TextEncoder()
const FIRST_NAME_BYTES = FIRST_NAMES.map((name) => utf8.encode(name))
const LAST_NAME_BYTES = LAST_NAMES.map((name) => utf8.encode(name))

/** What makes a book; the same parameters make the same bytes. */
export interface BookParameters {
  /** A whole number from 0 to 4,294,967,295. */
  readonly seed: number
  readonly agency: number
  readonly bets: number
  /** Puts about one bet in `everyBets` on `number` beside those that chance puts there. */
  readonly winners?: { readonly number: number; readonly everyBets: number } | undefined
}

/** About one bet in so many is another one of somebody who has bet before. */
const BETS_PER_REPEATED_PERSON = 500

/** The persons who may bet again: the last so many. */
const REMEMBERED_PERSONS = 64

/** Numbers from a 32-bit state (splitmix32): fast, and good enough to make up people. */
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

const COMMA = 0x2c
const HYPHEN = 0x2d
const SPACE = 0x20
const ZERO = 0x30
const CR = 0x0d
const LF = 0x0a

/** The longest line: three of the longest names and 34 other bytes are well below it. */
const MAX_LINE_BYTES = 128
const CHUNK_BYTES = 256 * 1024

const FIRST_DOCUMENT = 20_000_000
const DOCUMENTS = 20_000_000
const FIRST_YEAR = 1940
const YEARS = 65

const isBetNumber = Schema.is(BetNumber)

/** Writes lines into a buffer; knows the people it made up. */
class BookWriter {
  private readonly chances: Chances
  private readonly persons = new Uint32Array(REMEMBERED_PERSONS)
  private readonly winners: BookParameters["winners"]
  private known = 0
  private bytes = new Uint8Array(CHUNK_BYTES)
  private length = 0

  constructor(parameters: BookParameters) {
    this.chances = new Chances(parameters.seed ^ Math.imul(parameters.agency, 0x85ebca6b))
    this.winners = parameters.winners
  }

  get isFull(): boolean {
    return this.length + MAX_LINE_BYTES > this.bytes.length
  }

  /** What was written since the last time. */
  take(): Uint8Array {
    const taken = this.bytes.subarray(0, this.length)
    this.bytes = new Uint8Array(CHUNK_BYTES)
    this.length = 0
    return taken
  }

  writeBet(): void {
    this.writePerson(new Chances(this.choosePerson()))
    const winners = this.winners
    const chosen = winners !== undefined && this.chances.below(winners.everyBets) === 0
    this.writeNumber(chosen ? winners.number : this.chances.below(10_000))
    this.bytes[this.length++] = CR
    this.bytes[this.length++] = LF
  }

  /** The seed of who bets: somebody new, now and then somebody known. */
  private choosePerson(): number {
    const remembered = Math.min(this.known, REMEMBERED_PERSONS)
    if (remembered > 0 && this.chances.below(BETS_PER_REPEATED_PERSON) === 0) {
      return this.persons[this.chances.below(remembered)]!
    }
    const person = this.chances.next()
    this.persons[this.known++ % REMEMBERED_PERSONS] = person
    return person
  }

  private writePerson(person: Chances): void {
    this.write(FIRST_NAME_BYTES[person.below(FIRST_NAME_BYTES.length)]!)
    if (person.below(2) === 0) {
      this.bytes[this.length++] = SPACE
      this.write(FIRST_NAME_BYTES[person.below(FIRST_NAME_BYTES.length)]!)
    }
    this.bytes[this.length++] = COMMA
    this.write(LAST_NAME_BYTES[person.below(LAST_NAME_BYTES.length)]!)
    this.bytes[this.length++] = COMMA
    this.writeDigits(FIRST_DOCUMENT + person.below(DOCUMENTS), 8)
    this.bytes[this.length++] = COMMA
    this.writeDigits(FIRST_YEAR + person.below(YEARS), 4)
    this.bytes[this.length++] = HYPHEN
    this.writeDigits(1 + person.below(12), 2)
    this.bytes[this.length++] = HYPHEN
    // Every month has 28 days.
    this.writeDigits(1 + person.below(28), 2)
    this.bytes[this.length++] = COMMA
  }

  // A loop over a dozen bytes is three times as fast as TypedArray.set.
  private write(source: Uint8Array): void {
    for (let at = 0; at < source.length; at++) this.bytes[this.length++] = source[at]!
  }

  private writeNumber(value: number): void {
    this.writeDigits(value, value < 10 ? 1 : value < 100 ? 2 : value < 1000 ? 3 : 4)
  }

  private writeDigits(value: number, digits: number): void {
    let rest = value
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      this.bytes[at] = ZERO + (rest % 10)
      rest = Math.floor(rest / 10)
    }
    this.length += digits
  }
}

/** The bytes of a book, in chunks of about 256 KiB of whole lines. */
export function* generateBook(parameters: BookParameters): Generator<Uint8Array> {
  const { bets, winners } = parameters
  if (winners !== undefined && !isBetNumber(winners.number)) {
    throw new RangeError(`not a number that can be bet on: ${winners.number}`)
  }
  const writer = new BookWriter(parameters)
  for (let bet = 0; bet < bets; bet++) {
    writer.writeBet()
    if (writer.isFull) yield writer.take()
  }
  const rest = writer.take()
  if (rest.length > 0) yield rest
}

/** The name of an agency's book in its folder. */
export const bookName = (agency: number): string => `agency-${agency}.csv`

/** Writes a book into a folder, whole or not at all. */
export const writeBook = Effect.fn("GeneratedBook.writeBook")(function* (
  folder: string,
  parameters: BookParameters
) {
  const path = yield* Path.Path
  const rows = Stream.fromIterable(generateBook(parameters), { chunkSize: 1 })
  yield* writeWhole(path.join(folder, bookName(parameters.agency)), rows)
})
