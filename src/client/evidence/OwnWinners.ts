/** Finds an agency's winners in its own book. */
import { Stream } from "effect"
import { LF, splitRow } from "../../domain/BetRow.ts"
import * as Book from "../book/Book.ts"

/** The field of a canonical row that holds the document. */
const DOCUMENT = 2

/** Returns the documents of the bets on `number`, in book order, one per bet. */
export const ownWinners = (book: Book.Book, number: number) => {
  // A canonical row ends in its number, and no field contains LF.
  const ending = `,${number}\n`
  return Stream.runFold(
    Book.whole(book),
    (): Array<string> => [],
    (documents, { batch }) => {
      const rows = Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length)
      for (let at = rows.indexOf(ending); at !== -1; at = rows.indexOf(ending, at + 1)) {
        const row = rows.subarray(rows.lastIndexOf(LF, at) + 1, at + ending.length - 1)
        documents.push(splitRow(row.toString())[DOCUMENT]!)
      }
      return documents
    }
  )
}
