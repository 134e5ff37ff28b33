// Shows a model's text: paragraphs, lists, headings, code, emphasis and links, built as elements.

import { el } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** Return nodes for a text. */
export function markdown(text) {
  const nodes = [];
  for (const block of text.trim().split(/\n{2,}/)) {
    const lines = block.split("\n");
    if (block.startsWith("```")) nodes.push(el("pre", {}, el("code", {}, block.replace(/^```.*\n?|\n?```$/g, ""))));
    else if (lines.every((line) => /^\s*[-*] /.test(line))) nodes.push(el("ul", {}, items(lines, /^\s*[-*] /)));
    else if (lines.every((line) => /^\s*\d+\. /.test(line))) nodes.push(el("ol", {}, items(lines, /^\s*\d+\. /)));
    else if (/^#{1,4} /.test(block)) nodes.push(el("h3", {}, inline(block.replace(/^#+ /, ""))));
    else nodes.push(el("p", {}, lines.flatMap((line, n) => (n ? [el("br"), ...inline(line)] : inline(line)))));
  }
  return nodes;
}

const items = (lines, mark) => lines.map((line) => el("li", {}, inline(line.replace(mark, ""))));

function inline(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    nodes.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const [, code, bold, italic, label, address] = match;
    if (code) nodes.push(el("code", {}, code));
    else if (bold) nodes.push(el("strong", {}, bold));
    else if (italic) nodes.push(el("em", {}, italic));
    else nodes.push(el("a", { href: address, rel: "noopener noreferrer", target: "_blank" }, label));
  }
  return [...nodes, text.slice(end)];
}
