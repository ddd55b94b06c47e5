// The PDF: one page for each slide, after its last click.
import { join } from 'node:path'
import { HEIGHT, OUT, WIDTH, open, source } from './deck.mjs'

const total = (await source()).length
const deck = await open()
await deck.print(total)
await deck.page.pdf({
  path: join(OUT, 'slides.pdf'), width: `${WIDTH}px`, height: `${HEIGHT}px`, printBackground: true, preferCSSPageSize: true,
  margin: { top: 0, right: 0, bottom: 0, left: 0 },
})
await deck.close()
if (deck.problems.length) {
  console.error(deck.problems.join('\n'))
  process.exit(1)
}
console.log(`${join(OUT, 'slides.pdf')}: ${total} pages`)
