() => {
  // By this ticket, which the tab alone knows, a page that is loaded again finds its work.
  const name = "mask2iv-studio";
  try {
    const made = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const ticket = sessionStorage.getItem(name) || made();
    sessionStorage.setItem(name, ticket);
    return [ticket];
  } catch {
    return [""]; // a browser that stores nothing
  }
}
