/** How much room there is. */

import { useEffect, useState } from "./dom.js";

const phone = matchMedia("(max-width: 620px)");

/** Whether the page is as narrow as a phone. */
export function useNarrow() {
  const [narrow, setNarrow] = useState(phone.matches);
  useEffect(() => {
    const follow = () => setNarrow(phone.matches);
    phone.addEventListener("change", follow);
    return () => phone.removeEventListener("change", follow);
  }, []);
  return narrow;
}
