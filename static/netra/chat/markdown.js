// Markdown to safe DOM, patched block by block while an answer streams. Nothing about messages belongs here.

import markdownit from "../../vendor/markdown-it.js";
import DOMPurify from "../../vendor/dompurify.js";
import hljs from "../../vendor/highlight.js";
import bash from "../../vendor/highlight-bash.js";
import json from "../../vendor/highlight-json.js";
import python from "../../vendor/highlight-python.js";
import sql from "../../vendor/highlight-sql.js";

const LIVE_CODE_MAX = 6000;
const CODE_MAX = 60000;
const TAGS = [
  "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "strong", "em", "s", "del",
  "code", "pre", "a", "table", "thead", "tbody", "tr", "th", "td", "span", "sup", "sub",
];
const SANITISE = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ["href", "title", "class", "target", "rel", "start"],
  ADD_URI_SAFE_ATTR: ["target", "rel", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#|\/(?![/\\]))/i,
  RETURN_DOM_FRAGMENT: true,
};

for (const [name, grammar] of Object.entries({ bash, json, python, sql })) hljs.registerLanguage(name, grammar);
hljs.registerAliases(["sh", "shell", "console"], { languageName: "bash" });

const parser = markdownit({ html: false, linkify: false, breaks: false });
parser.validateLink = (url) => SANITISE.ALLOWED_URI_REGEXP.test(url.trim());

const rules = parser.renderer.rules;

rules.link_open = (tokens, index, options, env, self) => {
  if (!tokens[index].attrGet("href").startsWith("#")) {
    tokens[index].attrSet("target", "_blank");
    tokens[index].attrSet("rel", "noopener noreferrer nofollow");
  }
  return self.renderToken(tokens, index, options);
};

// An image address can carry data away, so an image is only ever a link to itself.
rules.image = (tokens, index) => {
  const { escapeHtml } = parser.utils;
  const source = escapeHtml(tokens[index].attrGet("src") || "");
  const words = escapeHtml(tokens[index].content || "Image");
  if (insideLink(tokens, index)) return words;
  return `<a href="${source}" target="_blank" rel="noopener noreferrer nofollow">${words}</a>`;
};

function insideLink(tokens, index) {
  const before = tokens.slice(0, index);
  const count = (type) => before.filter((token) => token.type === type).length;
  return count("link_open") > count("link_close");
}

// The policy forbids style attributes, which the parser writes for the alignment of cells.
rules.th_open = rules.td_open = (tokens, index, options, env, self) => {
  const token = tokens[index];
  const side = /text-align:\s*(left|center|right)/.exec(token.attrGet("style") || "")?.[1];
  token.attrs = side ? [["class", `align-${side}`]] : null;
  return self.renderToken(tokens, index, options);
};

rules.fence = (tokens, index, options, env) => {
  const language = tokens[index].info.trim().split(/\s+/)[0].toLowerCase();
  const body = highlighted(tokens[index].content, language, env.live);
  return `<pre><code class="language-${parser.utils.escapeHtml(language) || "text"}">${body}</code></pre>\n`;
};

const painted = new Map();

/** Escaped and coloured code; plain when the language is unknown or the text is long. */
function highlighted(code, language, live) {
  const limit = live ? LIVE_CODE_MAX : CODE_MAX;
  if (!hljs.getLanguage(language) || code.length > limit) return parser.utils.escapeHtml(code);
  const key = `${language}\n${code}`;
  if (!painted.has(key)) {
    if (painted.size > 60) painted.delete(painted.keys().next().value);
    painted.set(key, hljs.highlight(code, { language, ignoreIllegals: true }).value);
  }
  return painted.get(key);
}

function sanitise(html) {
  return DOMPurify.sanitize(html, SANITISE);
}

/** The HTML of each top-level block. */
function blocksOf(text, live) {
  const env = { live };
  const tokens = parser.parse(text, env);
  const blocks = [];
  let depth = 0;
  let from = 0;
  tokens.forEach((token, index) => {
    depth += token.nesting;
    if (depth !== 0) return;
    blocks.push(parser.renderer.render(tokens.slice(from, index + 1), parser.options, env));
    from = index + 1;
  });
  return blocks;
}

/** Shows Markdown in an element and touches only the blocks that changed. */
export class Prose {
  constructor(element) {
    this.element = element;
    this.blocks = null;
  }

  update(text, { live = false } = {}) {
    if (!this.blocks) {
      this.element.replaceChildren();
      this.blocks = [];
    }
    const wanted = blocksOf(text, live);
    let same = 0;
    while (same < wanted.length && this.blocks[same]?.html === wanted[same]) same += 1;
    for (const block of this.blocks.splice(same)) block.nodes.forEach((node) => node.remove());
    for (const html of wanted.slice(same)) this.append(html);
  }

  append(html) {
    const fragment = sanitise(html);
    decorate(fragment);
    const nodes = [...fragment.childNodes];
    this.element.append(fragment);
    this.blocks.push({ html, nodes });
  }
}

/** Give code blocks a head with a copy button, and let wide things scroll by keyboard. */
export function decorate(root) {
  for (const pre of root.querySelectorAll("pre")) if (!pre.closest(".code")) frameCode(pre);
  for (const table of root.querySelectorAll("table")) {
    if (table.parentNode.className === "wide") continue;
    const frame = document.createElement("div");
    frame.className = "wide";
    scrollable(frame, "Table");
    table.replaceWith(frame);
    frame.append(table);
  }
}

function scrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}

function frameCode(pre) {
  const code = pre.querySelector("code");
  const language = /language-(\S+)/.exec(code?.className || "")?.[1] || "text";
  const frame = document.createElement("div");
  const head = document.createElement("div");
  const name = document.createElement("span");
  const button = document.createElement("button");
  frame.className = "code";
  head.className = "code-head";
  name.textContent = language;
  button.type = "button";
  button.className = "button button-quiet";
  button.dataset.act = "copy-code";
  button.textContent = "Copy code";
  scrollable(pre, language === "text" ? "Code" : `Code, ${language}`);
  pre.replaceWith(frame);
  head.append(name, button);
  frame.append(head, pre);
}

/** Colour the code of text that the server rendered. */
export function paintCode(root) {
  for (const code of root.querySelectorAll('pre > code[class*="language-"]')) {
    const language = /language-(\S+)/.exec(code.className)[1];
    if (!hljs.getLanguage(language) || code.querySelector("span")) continue;
    code.replaceChildren(sanitise(highlighted(code.textContent, language, false)));
  }
}
